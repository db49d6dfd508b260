"""Carry out a plan: what stands, the masters, the science frames; and check what was left.

It may import everything but what measures, shows or asks. It offers `reduce.reduce_night` and
`verify.verify`.
"""
