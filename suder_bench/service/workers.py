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
from concurrent.futures import TimeoutError as TooLong
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
    """What judges batches; `at_once` of them may be under way."""

    at_once: int

    def score(self, batch: Sequence[Asked]) -> list[Row]:
        """A row for each, in order. Raises `WorkerDied`, `NoWorker`."""
        ...

    def told(self) -> dict[str, Any]:
        """What GET /health says of it: whether it is `alive`, among others."""
        ...


class Worker:
    """A process on a device. `offered` says what it judges and by whom."""

    at_once = 2  # the pictures of one batch are decoded while the other is judged

    def __init__(self, setting: Mapping[str, Any], *, longest: float, environment: Mapping[str, str]) -> None:
        """`setting` is that of `judging.Setting.document`; after `longest` seconds for one batch the process counts as stuck,
        and is killed."""
        self.offered: list[dict[str, Any]] = []
        self.restarts = 0
        self._setting, self._longest, self._environment = setting, longest, environment
        self._changed, self._closed = threading.Condition(), threading.Event()
        self._life: _Life | None = None
        self._trouble = ""

    def start(self) -> None:
        """Wait until it has its judges and they know their known answers. Raises `UserError`, or a group of them."""
        self._life = _Life(self._setting, self._environment)
        self.offered = self._life.offered
        threading.Thread(target=self._keep, daemon=True).start()

    def score(self, batch: Sequence[Asked]) -> list[Row]:
        with self._changed:
            self._changed.wait_for(lambda: self._living() or self._trouble or self._closed.is_set())
            life = self._living()
        if life is None:
            raise NoWorker(self._trouble or "the server ends")
        return life.score(batch, self._longest)

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
            except (UserError, ExceptionGroup) as error:
                with self._changed:
                    self._trouble = f"a worker could not be started again: {error}"
                    self._changed.notify_all()
                print(f"suder-bench: {self._trouble}", file=sys.stderr, flush=True)
                self._closed.wait(PAUSE)

    def _again(self) -> None:
        life = _Life(self._setting, self._environment)
        if life.offered != self.offered:
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
        """Raises `UserError`, or a group of them, for what the process cannot do."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "suder_bench.service.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.ended = threading.Event()
        self._lock, self._number = threading.Lock(), 0
        self._waiting: dict[int, Future[list[Row]]] = {}
        try:
            self.offered = self._greet(setting)
        except BaseException:
            self.end()
            raise
        threading.Thread(target=self._listen, daemon=True).start()

    def score(self, batch: Sequence[Asked], longest: float) -> list[Row]:
        future: Future[list[Row]] = Future()
        assert self.process.stdin is not None
        with self._lock:
            if self.ended.is_set():
                raise WorkerDied("it ended before it was asked")
            self._number += 1
            self._waiting[self._number] = future
            try:
                frames.write_batch(self.process.stdin, self._number, batch)
            except OSError:
                self.process.kill()  # and `_listen` tells all who wait
        try:
            return future.result(longest)
        except TooLong:
            self.process.kill()
            raise WorkerDied(f"it had not judged them after {longest:g} s") from None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def _greet(self, setting: Mapping[str, Any]) -> list[dict[str, Any]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(OSError):  # it ended, and has perhaps said why
            frames.write(self.process.stdin, dict(setting))
        answer = frames.read(self.process.stdout)
        if answer is None:
            raise JudgeError(f"a worker on {setting['device']} ended before it judged; its own messages say why")
        if "mistakes" in answer[0]:
            _raise(answer[0]["mistakes"])
        offered: list[dict[str, Any]] = answer[0]["offered"]
        return offered

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
