"""A site on 127.0.0.1: the data files from memory, each picture from its run folder when a page shows it."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from suder_bench.errors import PictureError, UserError
from suder_bench.reports.site.documents import Site
from suder_bench.reports.site.folder import PAGE, templates

HOST = "127.0.0.1"
NAMES = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]+)?", re.IGNORECASE)
"""What the server answers to: a page elsewhere that points its own name here gets nothing. Port 80 is not named, and a tunnel
has another."""

WAITING = 512
"""Connections that wait to be taken: a browser asks for a page's pictures at once, and one too many waits for seconds."""

Found = tuple[str, bytes]
"""A content type, and the bytes."""


def server(site: Site, port: int) -> ThreadingHTTPServer:
    """A server that listens; 0 takes any free port. Raises `UserError` when the port cannot be had."""
    find = _finder(site)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not NAMES.fullmatch(self.headers.get("Host") or ""):
                self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"")
                return
            try:
                found = find(unquote(urlsplit(self.path).path).lstrip("/") or PAGE)
            except (PictureError, OSError):
                found = None
            self._answer(*((HTTPStatus.OK, *found) if found else (HTTPStatus.NOT_FOUND, "text/plain", b"")))

        def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("X-Content-Type-Options", "nosniff")
                self.send_header("Cache-Control", "no-cache")
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:  # the reader has turned the page
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: a page asks for hundreds of files."""

    class Server(ThreadingHTTPServer):
        request_queue_size = WAITING

    try:
        return Server((HOST, port), Handler)
    except OSError as error:
        raise UserError(f"port {port} of {HOST} cannot be had ({error.strerror}); choose another --port, or 0 for any") from None


def _finder(site: Site) -> Callable[[str], Found | None]:
    """Looks an address up; only what the site holds has one, so that no address leads to another file."""
    there = {name: (_kind(name), content) for name, content in templates().items()}
    there |= {f"data/{name}.js": ("text/javascript", content) for name, content in site.scripts.items()}

    def find(address: str) -> Found | None:
        if address in site.pictures.known:
            return site.pictures.known[address].read()
        if address in site.files:
            return _kind(address), site.read(address)
        return there.get(address)

    return find


def _kind(name: str) -> str:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
