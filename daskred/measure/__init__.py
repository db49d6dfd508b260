"""The detector measured, bad pixels found, frames inspected.

It may import everything up to the run, whose masters it uses. It offers
`characterization.characterize`, `bad_pixels.find_bad_pixels`, `inspection.inspect_frame`, and
`table.measured`, frames in numbers.
"""
