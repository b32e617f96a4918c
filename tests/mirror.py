"""A small web server that stands in for the host of the official files, and misbehaves on request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from suder_bench.data.catalogue import OfficialFile


@dataclass
class Mirror:
    """Serves `contents` by path. `cut` bytes end each of the first answers, `statuses` are given instead of the first ones.
    Without `lengths` it does not say how much there is."""

    contents: Mapping[str, bytes]
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    lengths: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


@contextmanager
def serving(mirror: Mirror) -> Iterator[Mirror]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            mirror.asked.append((self.path, wanted))
            content = mirror.contents.get(self.path)
            status = mirror.statuses.pop(0) if mirror.statuses else 200 if content is not None else 404
            if status != 200 or content is None:
                self.send_error(status)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and mirror.ranges else 0
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if mirror.lengths:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : mirror.cuts.pop(0) if mirror.cuts else None])

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def described(folder: str, name: str, content: bytes) -> OfficialFile:
    """The catalogue's entry of a file with this content."""
    digest = hashlib.sha256(content).hexdigest()
    return OfficialFile(folder, name, len(content), "MIT", "somebody/something", "c0ffee", f"files/{name}", digest)


def path(file: OfficialFile) -> str:
    return f"/{file.repository}/{file.commit}/{file.path}"
