"""A night at an address, whose server answers after a while, beside the same night here."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from benchmarks.harness import Contestant, Result, Settings, compete, python, run_process
from benchmarks.night import daskred
from benchmarks.nights import fresh, simulated

LATENCY_S = 0.02


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves a folder, by ranges of bytes."""

    protocol_version = "HTTP/1.1"
    root = Path()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        time.sleep(LATENCY_S)
        path = self.root / unquote(self.path).lstrip("/")
        if path.is_dir():
            below = sorted(path.iterdir())
            links = [f"/{quote(str(p.relative_to(self.root)))}{'/' * p.is_dir()}" for p in below]
            body = "".join(f'<a href="{link}">{link}</a>' for link in links).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
        elif path.is_file():
            body = self._bytes(path)
        else:
            body = b""
            self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _bytes(self, path: Path) -> bytes:
        size = path.stat().st_size
        first, last, status = 0, size - 1, 200
        if wanted := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(wanted[1]), min(int(wanted[2] or last), last)
            status = 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        with path.open("rb") as file:
            file.seek(first)
            return file.read(last - first + 1)

    def do_GET(self) -> None:
        """Send what is asked for."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Send how much there is."""
        self._answer(with_body=False)


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


def serve(folder: str) -> None:
    """Serve a folder until the end, and tell at which port."""
    _Handler.root = Path(folder)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Give the address at which a process of its own serves a folder."""
    command = python("-c", "import sys; from benchmarks.remote import serve; serve(sys.argv[1])")
    with subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/"
        finally:
            process.kill()


def run(settings: Settings) -> list[Result]:
    """Time whole runs."""
    results = []
    cases = ((32, 3, 2),) if settings.tiny else ((256, 61, 60), (1024, 31, 30))
    for side, n_each, n_science in cases:
        night = simulated(settings, side, n_each, n_science)
        out = settings.folder / "remote"
        with served(night) as address:
            prepare = partial(fresh, night, out)
            here, there = (partial(run_process, daskred(n, out)) for n in (night, address))
            contestants = [
                Contestant("here", here, prepare),
                Contestant(f"{LATENCY_S * 1000:.0f} ms away", there, prepare),
            ]
            case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}"
            results += compete("remote", case, contestants, settings)
        shutil.rmtree(out, ignore_errors=True)
    return results
