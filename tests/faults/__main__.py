"""``python -m tests.faults``: let every call of the cases fail, or a sample of them."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.faults.sweep import CASES, KINDS, Sweep, build_shim


def main() -> int:
    """Sweep; print what is wrong, and return 1 where anything is."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "cases", nargs="*", default=list(CASES), metavar="CASE", help=str(list(CASES))
    )
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--sample", type=int, help="so many faults of each case (none: all)")
    parser.add_argument("--always", action="store_true", help="also all calls after it fail")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    n_wrong = 0
    for name in arguments.cases:
        with tempfile.TemporaryDirectory() as folder:
            sweep = Sweep(CASES[name], Path(folder), build_shim(Path(folder)))
            n_calls = len(sweep.calls())
            faults = [(at, kind) for at in range(1, n_calls + 1) for kind in arguments.kinds]
            if arguments.sample:
                faults = random.Random(arguments.seed).sample(
                    faults, min(arguments.sample, len(faults))
                )
            print(f"{name}: {n_calls} calls, {len(faults)} faults", flush=True)
            for at, kind in faults:
                if wrong := sweep.judge(at, kind, arguments.always):
                    n_wrong += 1
                    print(wrong, flush=True)
    print(f"{n_wrong} wrong")
    return int(n_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
