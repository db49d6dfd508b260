"""Web servers on this machine."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """A web server that serves ranges, as most do, and counts the bytes it sends."""

    served: list[int]

    def __init__(self, *arguments: Any, served: list[int], **options: Any) -> None:
        self.served = served
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        path = Path(self.directory) / unquote(self.path).lstrip("/")
        if not wanted or not path.is_file():
            if path.is_file():
                self.served.append(path.stat().st_size)
            super().do_GET()
            return
        data = path.read_bytes()
        first, last = (int(one) for one in wanted.removeprefix("bytes=").split("-"))
        part = data[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", str(path.stat().st_mtime_ns))
        self.end_headers()
        self.served.append(len(part))
        self.wfile.write(part)

    def log_message(self, *_: Any) -> None:
        pass


class SlowHandler(RangeHandler):
    """A web server that is far away, and notes how many requests wait for an answer at once."""

    waiting, most = 0, 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        with SlowHandler.lock:
            SlowHandler.waiting += 1
            SlowHandler.most = max(SlowHandler.most, SlowHandler.waiting)
        time.sleep(0.02)
        super().do_GET()
        with SlowHandler.lock:
            SlowHandler.waiting -= 1


def serving(handler: Any) -> Iterator[str]:
    """Serve until nobody wants it any more; yield the address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class PlainHandler(http.server.SimpleHTTPRequestHandler):
    """A web server that knows no ranges, and sends the whole file."""

    def log_message(self, *_: Any) -> None:
        pass
