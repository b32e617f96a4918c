"""Worker processes, as the server sees them: each holds the judges on one device, and is started again when it dies.

The server asks `score` of a worker and knows nothing of processes, so that others can stand in its place.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

from suder_bench.errors import JudgeError, UserError
from suder_bench.runs.jsonl import Row
from suder_bench.service import frames
from suder_bench.service.asked import Asked

PAUSE = 5.0
"""Seconds after a failed start before another is tried."""


class WorkerDied(Exception):
    """With everything that it had been given."""


class NoWorker(Exception):
    """It died and could not be started again; says why."""


class Scores(Protocol):
    """What judges batches; `at_once` of them may be under way. `alive`: it would begin at once."""

    at_once: int

    @property
    def alive(self) -> bool: ...

    def score(self, batch: Sequence[Asked]) -> list[Row]:
        """A row for each, in order. Raises `WorkerDied`, `NoWorker`."""
        ...

    def told(self) -> dict[str, Any]:
        """What GET /health says of it."""
        ...


class Worker:
    """A process on a device. `offered` says what it judges and by whom."""

    at_once = 2  # the pictures of one batch are decoded while the other is judged

    def __init__(self, setting: Mapping[str, Any], *, longest: float, environment: Mapping[str, str]) -> None:
        """`setting` is that of `Setting.document`; after `longest` seconds for one batch the process counts as stuck, and is
        killed."""
        self.offered: list[dict[str, Any]] = []
        self.restarts = 0
        self._setting, self._longest, self._environment = setting, longest, environment
        self._changed, self._closed = threading.Condition(), threading.Event()
        self._life: _Life | None = None
        self._trouble = ""

    def start(self) -> None:
        """Let it load its judges, and go on."""
        self._life = _Life(self._setting, self._environment)

    def ready(self) -> None:
        """Wait until its judges know their known answers. Raises `UserError`, or a group of them."""
        assert self._life is not None
        self.offered = self._life.greet()
        threading.Thread(target=self._keep, daemon=True).start()

    def score(self, batch: Sequence[Asked]) -> list[Row]:
        with self._changed:
            self._changed.wait_for(lambda: self._living() or self._trouble or self._closed.is_set())
            life = self._living()
        if life is None:
            raise NoWorker(self._trouble or "the server ends")
        return life.score(batch, self._longest)

    @property
    def alive(self) -> bool:
        return self._living() is not None

    def told(self) -> dict[str, Any]:
        life = self._living()
        return {
            "device": self._setting["device"],
            "alive": life is not None,
            "restarts": self.restarts,
            "process": None if life is None else life.process.pid,
        }

    def close(self) -> None:
        """End it, and start it no more."""
        self._closed.set()
        if self._life is not None:
            self._life.end()
        with self._changed:
            self._changed.notify_all()

    def _living(self) -> _Life | None:
        return self._life if self._life is not None and not self._life.ended.is_set() else None

    def _keep(self) -> None:
        """Start it again whenever it has ended."""
        while self._life is not None:
            self._life.ended.wait()
            if self._closed.is_set():
                return
            status = self._life.process.returncode
            print(f"suder-bench: a worker ended with status {status}; starting another", file=sys.stderr, flush=True)
            try:
                self._again()
            except (UserError, ExceptionGroup, OSError) as error:
                with self._changed:
                    self._trouble = f"a worker could not be started again: {error}"
                    self._changed.notify_all()
                print(f"suder-bench: {self._trouble}", file=sys.stderr, flush=True)
                self._closed.wait(PAUSE)

    def _again(self) -> None:
        life = _Life(self._setting, self._environment)
        if life.greet() != self.offered:
            life.end()
            raise UserError("the judges or the data have changed since the server was started; start it anew")
        with self._changed:
            self._life, self._trouble = life, ""
            self.restarts += 1
            self._changed.notify_all()
        if self._closed.is_set():
            life.end()


class _Life:
    """One process, from its start to its end."""

    def __init__(self, setting: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._device = setting["device"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "suder_bench.service.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.ended = threading.Event()
        self._lock, self._number = threading.Lock(), 0
        self._waiting: dict[int, Future[list[Row]]] = {}
        assert self.process.stdin is not None
        with suppress(OSError):  # it ended, and perhaps says why
            frames.write(self.process.stdin, dict(setting))

    def greet(self) -> list[dict[str, Any]]:
        """What it offers, once it can. Raises `UserError`, or a group of them, and it has ended, for what it cannot."""
        assert self.process.stdout is not None
        try:
            answer = frames.read(self.process.stdout)
            if answer is None:
                raise JudgeError(f"a worker on {self._device} ended before it judged; its own messages say why")
            if "mistakes" in answer[0]:
                _raise(answer[0]["mistakes"])
        except BaseException:
            self.end()
            raise
        threading.Thread(target=self._listen, daemon=True).start()
        offered: list[dict[str, Any]] = answer[0]["offered"]
        return offered

    def score(self, batch: Sequence[Asked], longest: float) -> list[Row]:
        with self._lock:
            before = len(self._waiting)  # whose time comes first
        late = threading.Timer(longest * (1 + before), self.process.kill)  # and `_listen` tells all who wait
        late.daemon = True
        late.start()
        try:
            return self._sent(batch).result()
        finally:
            late.cancel()

    def _sent(self, batch: Sequence[Asked]) -> Future[list[Row]]:
        future: Future[list[Row]] = Future()
        assert self.process.stdin is not None
        with self._lock:
            if self.ended.is_set():
                raise WorkerDied("it ended before it was asked")
            self._number += 1
            self._waiting[self._number] = future
            with suppress(OSError):  # it is ending
                frames.write_batch(self.process.stdin, self._number, batch)
        return future

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        try:
            while (answer := frames.read(self.process.stdout)) is not None:
                with self._lock:
                    future = self._waiting.pop(answer[0]["id"], None)
                if future is not None:
                    future.set_result(answer[0]["rows"])
        finally:
            self.end()
            with self._lock:
                self.ended.set()
                waiting = list(self._waiting.values())
            for future in waiting:
                future.set_exception(WorkerDied(f"the process that judged them ended with status {self.process.returncode}"))


def _raise(told: Sequence[tuple[str, int]]) -> None:
    """Raise the mistakes that a worker told, with their exit status."""
    mistakes = [(JudgeError if status == JudgeError.status else UserError)(message) for message, status in told]
    if len(mistakes) == 1:
        raise mistakes[0]
    raise ExceptionGroup("several mistakes", mistakes)
