"""What a run leaves: names, header cards, extensions, keys, the files, and the log.

It may import everything from the model to the night. It offers `write.write_calibrated` and
`write.write_master`, `expected.expected_products`, which tells what a plan makes and whether it
stands, and `log.RunLog`.
"""
