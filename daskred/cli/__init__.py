"""The command line: one file for each command, and what they show.

It may import everything; nothing imports it. Nothing scientific is imported before a command needs
it, so that help is there at once. It offers `main`.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status.

    Of the words that the program was called with, where none are given: it ends then, and no signal
    that comes late changes its status.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    on_interrupt = before[signal.SIGINT]
    if on_interrupt is signal.default_int_handler:
        # Until there is something to clean up, Ctrl-C ends the program without a word.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from daskred.cli.program import run

        return run(sys.argv[1:] if arguments is None else list(arguments), on_interrupt)
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if arguments is None else handler)
        if arguments is None:
            # Memory ends with the program; to look for garbage once more takes 0.03 s.
            gc.freeze()
