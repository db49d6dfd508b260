"""``daskred library``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskred.cli.status import ALL_DONE, SOME_FAILED
from daskred.model.errors import RequestError
from daskred.model.paths import absolute

if TYPE_CHECKING:
    from daskred.measure.changes import Changes

TEXT = "Keep masters for other nights: add those of a run, list them, show one, remove some."
EXAMPLE = "daskred library add LIBRARY OUT && daskred reduce NIGHT -o OUT2 --library LIBRARY"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text, others, what in (
        ("add", "add the masters of runs", "OUT", "folders of products, or masters"),
        ("list", "list the masters", "", ""),
        ("show", "print what is known of masters", "NAME", "as they are listed, or patterns"),
        ("remove", "remove masters", "NAME", "as they are listed, or patterns"),
    ):
        action = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        if name in ("list", "show"):
            action.add_argument("--json", action="store_true", help="as JSON")
        action.add_argument("library", metavar="LIBRARY", help="the folder of the library")
        if others:
            action.add_argument("names", nargs="+", metavar=others, help=what)


def run(arguments: argparse.Namespace) -> int:
    """Look after a library."""
    library = absolute(arguments.library)
    if arguments.action == "add":
        return _add(library, arguments.names)
    if arguments.action == "list":
        return _list(library, arguments.json)
    if arguments.action == "show":
        return _show(library, arguments.names, arguments.json)
    return _remove(library, arguments.names)


def _add(library: Path, names: list[str]) -> int:
    """Add masters, and say how they differ from the last of their kind."""
    from daskred.cli.terminal import escape, stderr, stdout
    from daskred.model.errors import FrameError
    from daskred.model.plan import MASTERS_FOLDER
    from daskred.products.library import keep, master_files

    status = ALL_DONE
    for name in names:
        source = Path(name)
        folder = source / MASTERS_FOLDER if (source / MASTERS_FOLDER).is_dir() else source
        files = [source] if source.is_file() else master_files(folder)
        if not files:
            raise RequestError(f"{name}: has no masters of bias frames, darks or flats")
        for path in files:
            try:
                target, is_new = keep(path, library)
                changes = _changes(target, library) if is_new else None
            except FrameError as error:
                stderr().print(escape(str(error)))
                status = SOME_FAILED
                continue
            text = f"{target.name}: {'added' if is_new else 'is there already'}"
            if changes:
                jump = "; a jump: is something wrong?" if changes[1].is_jump else ""
                text += f"; beside {changes[0]}: {changes[1].text}{jump}"
            stdout().print(escape(text))
    return status


def _changes(target: Path, library: Path) -> tuple[str, Changes] | None:
    """Return how a master differs from the one before it in a library, and which that is."""
    from daskred.cameras.read import read_camera
    from daskred.measure.changes import changes_between
    from daskred.model.errors import FrameError
    from daskred.products.library import kind_of_master, master_files, plain_name, read_master

    kind, camera = kind_of_master(target), read_camera()

    def read_out(path: Path) -> object:
        """Return how a master's detector was read out; None of one that is damaged."""
        try:
            master = read_master(path, kind, camera)
        except FrameError:
            return None
        facts = master.facts
        return master.layout, facts.camera, facts.binning, facts.set_temp_c, facts.settings

    files = [path for path in master_files(library) if plain_name(path) == plain_name(target)]
    own = read_out(target)
    earlier = [path for path in files if path.name < target.name and read_out(path) == own]
    if not earlier:
        return None
    before = earlier[-1]
    found = changes_between(str(before), str(target), kind == "flat")
    return before.name, found


def _list(library: Path, as_json: bool) -> int:
    from rich.table import Table

    from daskred.cameras.read import read_camera
    from daskred.cli.terminal import escape, stderr, stdout
    from daskred.model.errors import FrameError
    from daskred.model.plan import shape_text
    from daskred.night.times import date_text
    from daskred.products.library import kind_of_master, master_files, read_master

    rows: list[dict[str, Any]] = []
    status, camera = ALL_DONE, read_camera()
    for path in master_files(library):
        try:
            master = read_master(path, kind_of_master(path), camera)
        except FrameError as error:
            stderr().print(escape(str(error)))
            status = SOME_FAILED
            continue
        given, facts = master.given, master.facts
        rows.append(
            {
                "master": path.name,
                "kind": master.kind,
                "of": date_text(given.mjd)[:10] if given and given.mjd is not None else None,
                "frames": master.n_inputs,
                "shape": shape_text(master.layout),
                "exptime_s": facts.exptime_s,
                "filter": facts.filter,
                "camera": facts.camera,
            }
        )
    if as_json:
        print(json.dumps(rows, indent=1))
        return status
    table = Table("master", "kind", "of", "frames", "shape", "s", "filter", "camera")
    for row in rows:
        cells = (f"{v:g}" if isinstance(v, float) else str(v or "") for v in row.values())
        table.add_row(*map(escape, cells))
    stdout().print(table)
    return status


def _named(library: Path, names: list[str]) -> list[Path]:
    from fnmatch import fnmatchcase

    from daskred.model.option import nearest
    from daskred.products.library import master_files

    known = {path.name: path for path in master_files(library)}
    found: dict[Path, None] = {}
    for name in names:
        exact = [known[name]] if name in known else []
        fitting = exact or [path for file, path in known.items() if fnmatchcase(file, name)]
        if not fitting:
            raise RequestError(f"{library}: {nearest(name, list(known))}")
        found.update(dict.fromkeys(fitting))
    return list(found)


def _show(library: Path, names: list[str], as_json: bool) -> int:
    from daskred.cli.terminal import escape, stdout
    from daskred.night.describe import telling_cards

    paths = _named(library, names)
    if as_json:
        found = {path.name: dict(telling_cards(str(path))) for path in paths}
        print(json.dumps(found, indent=1, default=str))
        return ALL_DONE
    for path in paths:
        stdout().print(escape(path.name))
        for card, value in telling_cards(str(path)).items():
            stdout().print(escape(f"  {card:<8} {value}"))
    return ALL_DONE


def _remove(library: Path, names: list[str]) -> int:
    from daskred.cli.terminal import escape, stdout

    for path in _named(library, names):
        path.unlink()
        stdout().print(escape(f"{path.name}: removed"))
    return ALL_DONE
