"""Pictures that a person looks at.

It may import what it draws, and the run. It offers `pictures.picture`, frames side by side, the
curves of a detector, and `demo.run_demo`, for whoever sees daskred for the first time.
"""
