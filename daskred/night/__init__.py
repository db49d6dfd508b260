"""From files to a plan: find frames, read their headers, classify, group and match them.

It may import the rooms of files, cameras and options. Of pixels it reads no more than the first,
to tell duplicates. It offers `open.open_night`, and `plan.make_plan`, which is pure.
"""
