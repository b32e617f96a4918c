"""Callers that do not mean well, or have a bad line: the server on a worker that a test has in hand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from PIL import Image
from serving import Served, png, text
from test_batching import Scripted

from suder_bench.service import http as plumbing
from suder_bench.service.api import Service
from suder_bench.service.batching import Batching

OFFERED = {"name": "drawing", "protocol": "official", "judges": {}, "fingerprint": "0"}
ITEM = {"prompt": "a", "picture": text(png(Image.new("RGB", (4, 4))))}


@contextmanager
def service(worker: Scripted, *, most: int = 8, most_held: int = 8_000_000) -> Iterator[Service]:
    with Service(("127.0.0.1", 0), token=None, most_body=1_000_000, most_held=most_held) as server:
        batching = Batching([worker], most=most, patience=0.0, batch_size=1)
        server.open([OFFERED], [worker], batching)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            worker.gate.set()
            server.shutdown()
            batching.close()


def ask(server: Service, *items: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
    return Served(server.url, None).ask("POST", "/v1/score", {"items": list(items)})  # type: ignore[arg-type]


def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it never came true")


def opened(server: Service, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.server_port), timeout=30)
    connection.sendall(sent)
    return connection


def request(*items: dict[str, Any], length: int | None = None) -> bytes:
    body = json.dumps({"items": list(items)}).encode()
    head = (
        f"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length or len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


def test_a_full_queue_sends_callers_away_for_a_while() -> None:
    worker = Scripted()
    worker.gate.clear()
    with service(worker, most=2) as server:
        waiting = [opened(server, request(ITEM))]
        until(lambda: server.batching is not None and server.batching.under_way == 1)
        waiting += [opened(server, request(ITEM)) for _ in range(2)]
        until(lambda: server.batching is not None and server.batching.waiting == 2)
        status, answer, headers = ask(server, ITEM)
        assert (status, answer["error"]["code"]) == (429, "busy")
        assert int(headers["retry-after"]) >= 1
        worker.gate.set()
        for connection in waiting:
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
            connection.close()
        assert ask(server, ITEM)[0] == 200


def test_requests_take_no_more_memory_than_they_may() -> None:
    worker = Scripted()
    worker.gate.clear()
    with service(worker, most_held=len(request(ITEM))) as server:
        one = opened(server, request(ITEM))
        until(lambda: server.batching is not None and server.batching.under_way == 1)
        status, answer, headers = ask(server, ITEM, ITEM)
        assert (status, answer["error"]["code"], headers["retry-after"]) == (429, "busy", "1")
        one.close()


def test_what_a_caller_asked_who_hung_up_is_not_judged(capfd: pytest.CaptureFixture[str]) -> None:
    worker = Scripted()
    worker.gate.clear()
    with service(worker) as server:
        staying = opened(server, request(ITEM))
        until(lambda: server.batching is not None and server.batching.under_way == 1)
        leaving = opened(server, request(*[ITEM | {"prompt": "left"}] * 3))
        until(lambda: server.batching is not None and server.batching.waiting == 3)
        leaving.close()
        time.sleep(5 * plumbing.LOOK)
        worker.gate.set()
        assert staying.recv(15) == b"HTTP/1.1 200 OK"
        staying.close()
        assert ask(server, ITEM)[0] == 200
        assert worker.batches == [["a"], ["a"]]
    assert "Traceback" not in capfd.readouterr().err


def test_a_caller_that_hangs_up_in_the_middle_of_its_request_is_forgotten(capfd: pytest.CaptureFixture[str]) -> None:
    with service(Scripted()) as server:
        opened(server, request(ITEM, length=900)).close()
        opened(server, b"POST /v1/sc").close()
        assert ask(server, ITEM)[0] == 200
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("sent", [b"", b"POST /v1/score HTTP/1.1\r\nHost: loc", request(ITEM, length=900)])
def test_a_slow_caller_is_cut_off_although_it_sends_a_byte_now_and_then(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plumbing, "READ", 0.5)
    with service(Scripted()) as server:
        connection, begun = opened(server, sent), time.monotonic()
        try:
            while time.monotonic() - begun < 20:
                connection.sendall(b"x")
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - begun < 10
        assert ask(server, ITEM)[0] == 200


def test_a_caller_that_waits_for_its_answer_is_not_taken_for_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plumbing, "READ", 1.5)
    worker = Scripted()
    worker.gate.clear()
    with service(worker) as server:
        connection = opened(server, request(ITEM))
        until(lambda: server.batching is not None and server.batching.under_way == 1)
        time.sleep(2.0)
        worker.gate.set()
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        connection.close()


def test_too_many_connections_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plumbing, "MOST_CONNECTIONS", 2)
    with service(Scripted()) as server:
        idle = [opened(server, b"") for _ in range(2)]  # which are counted in the order in which they came
        third = opened(server, b"")
        assert third.recv(12) == b"HTTP/1.1 503"
        for connection in idle:
            connection.close()
        until(lambda: ask_quietly(server) == 200)


def ask_quietly(server: Service) -> int:
    try:
        return ask(server, ITEM)[0]
    except (OSError, ValueError):
        return 0


def test_one_connection_serves_many_requests() -> None:
    with service(Scripted()) as server:
        connection = opened(server, request(ITEM) * 3)
        received = b""
        while received.count(b'"results"') < 3:
            received += connection.recv(65536)
        assert received.count(b"HTTP/1.1 200 OK") == 3
        connection.close()


def test_without_a_worker_callers_are_told_to_come_again() -> None:
    worker = Scripted()
    worker.gone = True
    with service(worker) as server:
        status, answer, headers = ask(server, ITEM)
        assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "no_worker", "5")


def test_an_end_waits_for_the_requests_at_hand() -> None:
    worker = Scripted()
    worker.gate.clear()
    with service(worker) as server:
        connection = opened(server, request(ITEM))
        until(lambda: server.batching is not None and server.batching.under_way == 1)
        assert not server.drain(0.2)
        worker.gate.set()
        assert server.drain(10)
        assert b"Connection: close" in connection.recv(65536)
        connection.close()


@pytest.mark.parametrize(
    "head",
    [
        "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: {length}",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: +{length}",
        "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length:018}",
        "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity",
    ],
)
def test_what_follows_a_body_of_unknown_length_is_no_request(head: str) -> None:
    """A proxy before this server may take it for the body."""
    more = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with service(Scripted()) as server:
        connection = opened(server, head.format(length=len(more)).encode() + b"\r\n\r\n" + more)
        with connection, connection.makefile("rb") as answers:
            assert answers.read().count(b"HTTP/1.1 ") == 1
