"""The graph: tiles of all frames for masters, frames for science, and the view of notebooks.

It may import everything from the model to the products; only the files ``view*`` import dask and
xarray. It offers `tiles` and `frames`, which build pieces of graphs, ``{key: (function, ...)}``;
behind them a run puts tasks that write, and a notebook takes the blocks as arrays. `sources` tells
where the pixels of a frame come from, `calibrated` takes them through the steps.
"""
