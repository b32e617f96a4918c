"""A server of the chat-completions interface on this machine: it replies as a test says, and remembers what it was sent."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from suder_bench.remote import client


@dataclass(frozen=True)
class Answer:
    """What to send; `drip` seconds stand before each byte, and `endless` repeats the body until the other side hangs up; `size`
    is said to come in all, else nothing is said of it. `late` seconds stand before it all."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: float = 0.0
    endless: bool = False
    size: int | None = None
    late: float = 0.0


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    at: float
    port: int = 0  # of the other side

    @property
    def key(self) -> str | None:
        return self.headers.get("authorization")

    @property
    def prompt(self) -> str:
        content: str = self.body["messages"][-1]["content"]
        return content


class JudgeServer(ThreadingHTTPServer):
    """`reply` gets what was asked, and how many times something was asked before."""

    daemon_threads = True

    def __init__(self, reply: Callable[[Asked, int], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.asked: list[Asked] = []
        self.written = 0  # bytes of endless answers
        self.lock = threading.Lock()
        self.closed = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def keys(self) -> set[str | None]:
        return {one.key for one in self.asked}

    def handle_error(self, *_: object) -> None:
        """The other side hung up, as it should."""


class _Handler(BaseHTTPRequestHandler):
    server: JudgeServer

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(
            self.command, self.path, headers, json.loads(text) if text else None, time.monotonic(), self.client_address[1]
        )
        with self.server.lock:
            before = len(self.server.asked)
            self.server.asked.append(asked)
        answer = self.server.reply(asked, before)
        if answer.late and self.server.closed.wait(answer.late):
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.size is not None or not answer.endless:
            self.send_header("Content-Length", str(answer.size or len(answer.body)))
        self.end_headers()
        self._write(answer)

    do_GET = do_POST

    def _write(self, answer: Answer) -> None:
        while answer.endless and not self.server.closed.is_set():
            self.wfile.write(answer.body)
            self.server.written += len(answer.body)
        for byte in answer.body if answer.drip else ():
            if self.server.closed.wait(answer.drip):
                return
            self.wfile.write(bytes([byte]))
        if not answer.drip and not answer.endless:
            self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(reply: Callable[[Asked, int], Answer]) -> Iterator[JudgeServer]:
    with JudgeServer(reply) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closed.set()
            server.shutdown()


@contextmanager
def dripping_header(seconds: float) -> Iterator[str]:
    """The address of a server that sends its header a byte at a time, one each `seconds`, and never comes to its end."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Pad: ")
                    while not stop.wait(seconds):
                        connection.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            stop.set()
            thread.join(5)


def sleeping(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that requests have paused so far, which nobody waits for."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(client.anyio, "sleep", sleep)
    return pauses


def said(text: str | None, **message: Any) -> Answer:
    """A chat completion with one choice."""
    choice = {"message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}
    return Answer(body=json.dumps({"choices": [choice]}).encode())


def took(answer: Answer, tokens: tuple[int, int]) -> Answer:
    """The same completion, which says how many tokens of input and output it took."""
    document = json.loads(answer.body) | {"usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}}
    return replace(answer, body=json.dumps(document).encode())


def refused(status: int, message: str, **headers: str) -> Answer:
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def able(asked: Asked, before: int) -> Answer:
    """What a judge says that knows its known answers, and that finds every other answer worth 5 of 10."""
    if asked.prompt.endswith("Your mark:"):
        return said("incorrect" if "Answer: The ball is blue." in asked.prompt else "correct")
    if "[Context]\nA red ball." in asked.prompt:
        return said("9 2\nThe second is wrong." if "The ball is blue." in asked.prompt else "9 9\nBoth are right.")
    return said("8 4\nThe second says less.")


KNOWN = 4
"""Requests that the known answers of a judge of texts take."""


def write_questions(folder: Path, count: int) -> Path:
    """LLaVA-Bench's files with so many questions, each about a grey picture of its own; `fakes.FakeModel` answers them."""
    from fakes import encoded

    place = folder / "llavabench"
    (place / "images").mkdir(parents=True)
    for i in range(count):
        (place / f"images/{i}.png").write_bytes(encoded(40))
    rows = [{"question_id": i, "image": f"{i}.png", "category": "conv", "text": f"Which shade, {i}?"} for i in range(count)]
    answers = [{"question_id": i, "text": "It is 40."} for i in range(count)]
    for name, lines in (
        ("questions", rows),
        ("answers_gpt4", answers),
        ("context", [{"image": f"{i}.png", "caption": "Plain grey."} for i in range(count)]),
    ):
        (place / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rule = {"llava_bench_conv": {"role": "Assistant", "prompt": "Two scores on the first line, please."}}
    script = 'messages = [{"role": "system", "content": "You are fair."}]'
    (place / "eval_gpt_review_bench.py").write_text(script)
    (place / "rule.json").write_text(json.dumps(rule))
    return folder
