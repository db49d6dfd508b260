"""A task: a piece of a graph that one worker computes at once.

The graph is one of dask's, ``{key: (function, argument, ...)}``, where an argument that is a key
stands for what that key computes. A run needs no more of dask than this: `compute` is all that it
takes, and dask takes longer to import than a small night takes to reduce. `daskred.arrays.view`
gives the same graphs to dask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Key = tuple[Any, ...]
Graph = Mapping[Key, tuple[Any, ...]]


def compute(graph: Graph, key: Key) -> Any:
    """Return what a key of a graph computes.

    Each key is computed where it is wanted: pieces of graphs are chains, in which nothing is
    wanted twice.

    Examples
    --------
    >>> compute({("read", 0): (int, "2"), ("doubled", 0): (pow, ("read", 0), 2)}, ("doubled", 0))
    4
    """
    function, *arguments = graph[key]
    return function(
        *(
            compute(graph, argument)
            if isinstance(argument, tuple) and argument in graph
            else argument
            for argument in arguments
        )
    )


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work that a worker carries out, apart from all others; it may run twice.

    Parameters
    ----------
    key
        What is wanted.
    graph
        How it is computed.
    items
        Of a task over several items, as frames, these; the result is a list with an entry for
        each. Such a task can be taken apart.
    paths
        For each item the file that it reads.
    remake
        Makes the task of some of the items.
    """

    key: Key
    graph: Graph
    items: tuple[Any, ...] = ()
    paths: tuple[str, ...] = ()
    remake: Callable[[tuple[Any, ...], tuple[str, ...]], Task] | None = None

    def parts(self) -> list[Task]:
        """Return a task for each item; none where there are not several."""
        if len(self.items) < 2 or self.remake is None:
            return []
        return [
            self.remake((item,), (path,)) for item, path in zip(self.items, self.paths, strict=True)
        ]
