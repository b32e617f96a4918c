"""What a worker process does: take up duties, do chunks, and end when its driver ends, however that ends.

Started by `processes` as `python -P -c "..."`, so that neither the working folder nor the driver's main program is imported.
Messages come by stdin and go by what was stdout; whatever a library prints goes to stderr.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pickle import loads
from typing import Any, BinaryIO

from suder_bench.runs.workers import frames

DRIVER_GONE = 3


@dataclass(frozen=True)
class Setting:
    """What names mean in the driver: where modules are looked for, and the registry."""

    path: Sequence[str]
    table: Any

    def enter(self) -> None:
        from suder_bench import registry

        sys.path[:] = self.path
        registry.TABLE = self.table
        registry.table.cache_clear()


@dataclass(frozen=True)
class Begin:
    """A duty, pickled apart, because its modules are found only in the `setting`."""

    setting: Setting
    duty: bytes


@dataclass(frozen=True)
class Submit:
    ticket: int
    chunk: bytes


@dataclass(frozen=True)
class Answer:
    """`kind` is ready, unfit, gave or done; `content` what the event of this name holds."""

    kind: str
    content: tuple[Any, ...]


def main() -> None:
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(incoming, messages), daemon=True).start()
    _Worker(outgoing, messages).work()


def _listen(incoming: BinaryIO, messages: queue.SimpleQueue[Any]) -> None:
    """Always reads, so that the driver never waits to send; where it is gone there is nobody to work for."""
    try:
        while True:
            messages.put(frames.read(incoming))
    except BaseException as error:  # with the thread the worker would wait for ever
        if not isinstance(error, EOFError):
            traceback.print_exc()
        os._exit(DRIVER_GONE)


class _Worker:
    def __init__(self, outgoing: BinaryIO, messages: queue.SimpleQueue[Any]) -> None:
        self._outgoing, self._messages = outgoing, messages
        self._pending: deque[Begin | tuple[int, Any]] = deque()
        self._hand: Any = None

    def work(self) -> None:
        while True:
            message = self._pending.popleft() if self._pending else self._receive()
            if isinstance(message, Begin):
                self._begin(message)
            else:
                self._do(*message)

    def _receive(self) -> Begin | tuple[int, Any]:
        message: Begin | Submit = self._messages.get()
        if isinstance(message, Begin):
            return message
        chunk = loads(message.chunk)
        self._hand.prepare(chunk)
        return message.ticket, chunk

    def _begin(self, message: Begin) -> None:
        from suder_bench.runs.batches import free_memory
        from suder_bench.runs.workers.foreign import carried

        self._hand = None
        free_memory()
        try:
            message.setting.enter()
            self._hand = loads(message.duty).begin()
        except Exception as error:
            self._answer("unfit", carried(error))
        else:
            self._answer("ready", self._hand.card())

    def _do(self, ticket: int, chunk: Any) -> None:
        from suder_bench.runs.workers.foreign import carried

        while not self._messages.empty():
            self._pending.append(self._receive())
        started = time.perf_counter()
        for part in self._hand.do(chunk):
            failures = tuple((place, carried(error)) for place, error in part.failures)
            self._answer("gave", ticket, replace(part, failures=failures))
        self._answer("done", ticket, time.perf_counter() - started)

    def _answer(self, kind: str, *content: Any) -> None:
        try:
            frames.write(self._outgoing, Answer(kind, content))
        except OSError:
            os._exit(DRIVER_GONE)
