"""Where a graph runs: forked processes, threads, or a dask cluster.

It may import `daskred.model.errors`, and knows nothing of FITS, frames or masters: a `task.Task` is
a piece of a graph. It offers `executor.Executor`, which hands out tasks, no more than workers can
hold, again where a worker failed, and gives up by name what has ended three; one file for each
`pool.Pool` of workers; and `progress`, which is told how far work is.
"""
