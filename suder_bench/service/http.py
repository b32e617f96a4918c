"""HTTP for callers that need not mean well: who may ask, how long a request may take, and how large and how many they may be.

Python's own threading server: a request is a thread that decodes base64 and waits. What it lacks is here: a time for a request
as a whole (`Deadlines`; its own is for each single read, which a byte a minute keeps alive), an end to connections and to bytes
in memory, and replies that arrive although a body was not read.
"""

from __future__ import annotations

import hmac
import json
import select
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from suder_bench.remote.address import LOCAL
from suder_bench.service.asked import Refusal

READ, WRITE, LINGER = 120.0, 60.0, 2.0
"""Seconds in which a request must have come whole, a reply been read, and what nobody wants been sent."""

LOOK = 0.2
"""Seconds between two looks whether the caller still waits."""

MOST_CONNECTIONS = 256
MEGABYTE = 1_000_000


class Deadlines:
    """Ends connections whose time is up, whatever their thread waits for."""

    def __init__(self) -> None:
        self._due: dict[socket.socket, float] = {}
        self._lock, self._closed = threading.Lock(), threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def set(self, connection: socket.socket, seconds: float) -> None:
        with self._lock:
            self._due[connection] = time.monotonic() + seconds

    def lift(self, connection: socket.socket) -> None:
        with self._lock:
            self._due.pop(connection, None)

    def close(self) -> None:
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(0.25):
            now = time.monotonic()
            with self._lock:
                late = [connection for connection, due in self._due.items() if due < now]
                for connection in late:
                    del self._due[connection]
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    """Bound to its address when it is made, so that a port that is taken is told at once; it answers after `listen`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type[Handler], *, token: str | None, most_body: int, most_held: int
    ) -> None:
        """`most_body` bytes of one request, and `most_held` of all that are here at once. Raises `OSError`."""
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler, bind_and_activate=False)
        try:
            self.server_bind()
        except BaseException:
            self.server_close()
            raise
        self.token, self.most_body, self.deadlines = token, most_body, Deadlines()
        self._most_held, self._held, self._connections = most_held, 0, 0
        self._lock, self._idle, self._requests = threading.Lock(), threading.Condition(), 0
        self.ending = threading.Event()

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def server_bind(self) -> None:
        """Without the look-up of this machine's name, which can take long and is not used."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def listen(self) -> None:
        """Raises `OSError` where another server was faster."""
        self.server_activate()

    @contextmanager
    def holding(self, length: int) -> Iterator[None]:
        """Room for so many bytes. Raises `Refusal` where there is none."""
        with self._lock:
            if self._held and self._held + length > self._most_held:
                raise Refusal(429, "busy", "the requests at hand take all the memory that they may; come again", wait=1)
            self._held += length
        try:
            yield
        finally:
            with self._lock:
                self._held -= length

    @contextmanager
    def busy(self) -> Iterator[None]:
        with self._idle:
            self._requests += 1
        try:
            yield
        finally:
            with self._idle:
                self._requests -= 1
                self._idle.notify_all()

    def drain(self, seconds: float) -> bool:
        """Whether all requests at hand are answered in that time; no others are taken, and connections then close."""
        self.ending.set()
        self.socket.close()
        with self._idle:
            return self._idle.wait_for(lambda: not self._requests, seconds)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = self._connections >= MOST_CONNECTIONS
            self._connections += not full
        if full:
            with suppress(OSError):
                request.settimeout(0)
                request.send(
                    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.deadlines.lift(request)
            with self._lock:
                self._connections -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is nobody's fault; anything else is a bug, and shown."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()

    def server_close(self) -> None:
        super().server_close()
        if hasattr(self, "deadlines"):
            self.deadlines.close()


class Handler(BaseHTTPRequestHandler):
    """`answer` gives the documents of a method and path; the rest of HTTP is here."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "suder-bench", ""
    timeout = READ

    unread = 0
    """Bytes of the request's body that are still to come."""

    def answer(self, method: str, path: str) -> Any:
        """A JSON value. Raises `Refusal`."""
        raise NotImplementedError

    def do_GET(self) -> None:
        with self.server.busy():
            self._reply("GET")

    def do_POST(self) -> None:
        with self.server.busy():
            self._reply("POST")

    def handle_one_request(self) -> None:
        self.server.deadlines.set(self.connection, READ)
        super().handle_one_request()

    def body(self) -> bytes:
        """Raises `Refusal` for one that is too long, not whole, or of unknown length."""
        if self.headers.get("Transfer-Encoding") or len(self.headers.get_all("Content-Length") or []) > 1:
            raise Refusal(411, "length_required", "send one Content-Length, and no Transfer-Encoding")
        if not self.unread:
            raise Refusal(411, "length_required", "send a body, and Content-Length")
        if self.unread > self.server.most_body:
            raise Refusal(413, "request_too_large", f"a request has at most {self.server.most_body // MEGABYTE} MB")
        return self._received()

    def settled(self, waiting: set[Future[Any]]) -> None:
        """Wait for all. Once the caller has hung up or the server ends, the rest is given up, and `ConnectionError` raised."""
        self.server.deadlines.lift(self.connection)
        while waiting := wait(waiting, timeout=LOOK).not_done:
            if self._hung_up():
                for one in waiting:
                    one.cancel()
                raise ConnectionAbortedError("the caller has hung up")

    def log_message(self, format: str, *arguments: Any) -> None:
        """One line for what went wrong; what went well is in GET /health."""

    def _reply(self, method: str) -> None:
        wait: int | None = None
        told = self.headers.get_all("Content-Length") or []
        sound = len(told) == 1 and told[0].isascii() and told[0].isdigit() and len(told[0]) < 16
        self.unread = int(told[0]) if sound else 0
        if (told and not sound) or self.headers.get("Transfer-Encoding") or self.headers.defects:
            self.close_connection = True  # where its body ends is not known, and what follows must not pass for a request
        try:
            self._check_caller()
            status, found = 200, self.answer(method, urlsplit(self.path).path)
        except Refusal as refusal:
            status, wait = refusal.status, refusal.wait
            found = {"error": {"code": refusal.code, "message": str(refusal)}}
        except OSError:
            raise
        except Exception as error:
            traceback.print_exc()
            status, found = 500, {"error": {"code": "server_error", "message": f"{type(error).__name__}: {error}"[:500]}}
        self._write(status, json.dumps(found, allow_nan=False).encode(), wait)

    def _check_caller(self) -> None:
        """The token where there is one; else only who calls this machine by its own names, and no page of a browser's."""
        if self.server.token is not None:
            given = (self.headers.get("Authorization") or "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, b"Bearer " + self.server.token.encode()):
                raise Refusal(401, "unauthorized", "send the server's token as a bearer token")
        elif _hostname(self.headers.get("Host") or "localhost") not in LOCAL or self.headers.get("Origin"):
            raise Refusal(403, "forbidden", "this server is asked as localhost only, and by no web page")

    def _received(self) -> bytes:
        body = bytearray()
        while self.unread:
            block = self.rfile.read1(min(self.unread, MEGABYTE))  # type: ignore[attr-defined]
            if not block:
                raise ConnectionAbortedError("the caller has hung up")
            body += block
            self.unread -= len(block)
        return bytes(body)

    def _write(self, status: int, body: bytes, wait: int | None) -> None:
        self.server.deadlines.set(self.connection, WRITE)
        self.close_connection = self.close_connection or bool(self.unread) or self.server.ending.is_set()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if wait is not None:
            self.send_header("Retry-After", str(wait))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if self.unread:
            self._linger()

    def _linger(self) -> None:
        """Pass over what the caller still sends: closed with bytes unread, a connection resets, and the reply is lost."""
        self.server.deadlines.set(self.connection, LINGER)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while self.rfile.read1(MEGABYTE):  # type: ignore[attr-defined]
                pass

    def _hung_up(self) -> bool:
        if not select.select([self.connection], [], [], 0)[0]:
            return False
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True


def _hostname(host: str) -> str | None:
    try:
        return urlsplit("//" + host).hostname
    except ValueError:
        return None
