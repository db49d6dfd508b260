"""What is known, as frozen data: frames and their readout, plans, receipts, masks, options, errors.

It may import numpy, and nothing else of the package. It offers the words that all other rooms
speak: `frame.Frame`, `readout.Readout`, `plan.Plan`, `receipt.Receipt`, `option.Option`, the bits
of `mask`, and the `errors`.
"""
