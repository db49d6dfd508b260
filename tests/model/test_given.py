"""Type checkers know the options as the table has them.

``python -m tests.model.test_given`` writes the file anew when the table has changed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import daskred.model.given
from daskred.model.option import Option, count, limit, positive, size
from daskred.options import TABLE

FILE = Path(daskred.model.given.__file__)
BEGIN = '''"""The options as type checkers know them: written from the table, which tells all else.

``python -m tests.model.test_given`` writes it anew when the table has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Literal, TypedDict


class Given(TypedDict, total=False):
    """What may be given to `daskred.Options`."""

'''
NUMBERS: dict[Any, str] = {count: "int", positive: "int", limit: "float", size: "int | str"}


def type_of(option: Option) -> str:
    if option.choices:
        choices = ", ".join(f'"{choice}"' for choice in option.choices)
        one = f"Literal[{choices}]"
    elif option.is_switch:
        one = "bool"
    else:
        one = NUMBERS.get(option.type, "str | PathLike[str]")
    if option.several:
        one = f"{one} | Sequence[{'str' if not option.choices else one}]"
    return f"{one} | None"


def written() -> str:
    text = BEGIN + "".join(f"    {option.name}: {type_of(option)}\n" for option in TABLE)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(FILE), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def test_types_are_those_of_the_table() -> None:
    assert FILE.read_text() == written()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('Options(combine="mean", mask=True, memory="500MB", allow=["offset"])', ""),
        ('Options(combine="medain")', "medain"),
        ("Options(combin='mean')", "combin"),
        ("Options(mask=1.5)", "mask"),
    ],
)
def test_a_type_checker_finds_what_there_is_not(call: str, said: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"from daskred import Options\n\n{call}\n")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(tmp_path)]
    command += ["--follow-imports=silent", str(script)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said in found.stdout) if said else found.stdout == ""
    assert bool(found.returncode) == bool(said)


if __name__ == "__main__":
    FILE.write_text(written())
