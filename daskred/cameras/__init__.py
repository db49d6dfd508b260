"""What a camera's headers mean: rules as data, one TOML file for each camera, and a default.

It may import `daskred.model`. It offers `rules.Camera`, and `read.read_camera`, which reads a file
on top of ``default.toml``; that file holds and explains every key.
"""
