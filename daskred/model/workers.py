"""The options of where and how a run works; its products do not depend on them."""

from __future__ import annotations

from daskred.model.option import Option, limit, positive, size

WORKER_OPTIONS = (
    Option(
        "workers",
        "how many tasks at once (all processors)",
        "workers",
        None,
        positive,
        metavar="N",
        common=True,
    ),
    Option("processes", "workers are processes (usual)", "workers"),
    Option("threads", "workers are threads", "workers"),
    Option(
        "scheduler",
        "work on a running dask cluster: tcp://HOST:PORT, or its scheduler file",
        "workers",
        None,
        str,
        metavar="ADDRESS",
    ),
    Option(
        "time_limit",
        "a task that takes longer is given to another worker",
        "workers",
        600.0,
        limit,
        metavar="SECONDS",
    ),
    Option(
        "memory",
        "what the whole run may have, as 500MB (half of what is free)",
        "workers",
        None,
        size,
        metavar="SIZE",
        common=True,
    ),
    Option(
        "tile_rows",
        "height of the bands of masters (fits)",
        "workers",
        None,
        positive,
        metavar="N",
    ),
    Option(
        "sync",
        "wait until products are safe from a power cut (usual)",
        "workers",
        True,
    ),
    Option(
        "log_level",
        "what the log in OUT tells: phases too, each frame, or what failed",
        "workers",
        "info",
        str,
        ("debug", "info", "warning"),
    ),
)
