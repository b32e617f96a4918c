"""A crew of one: this very process, which does a chunk when it is waited for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from suder_bench.runs.workers.protocol import Card, Done, Duty, Event, Gave, Hand, Ready

UNSEEN = Card(host="", device="", dtype="", versions={}, holds=None)
"""What a hand shows where nobody needs to compare."""


@dataclass(frozen=True)
class Holding:
    """The duty of having what is loaded already."""

    hand: Hand

    def begin(self) -> Hand:
        return self.hand


class Here:
    """Implements `Crew`. What a duty or a chunk raises is the driver's to see, with its traceback."""

    size = 1
    remote = False

    def __init__(self) -> None:
        self._hand: Hand | None = None
        self._ready: Card | None = None
        self._waiting: deque[tuple[int, Any]] = deque()
        self._doing: Iterator[Event] = iter(())

    def name(self, worker: int) -> str:
        return "this process"

    def begin(self, worker: int, duty: Duty) -> None:
        self._hand = duty.begin()
        self._ready = self._hand.card()

    def submit(self, worker: int, ticket: int, chunk: Any) -> None:
        assert self._hand is not None
        self._hand.prepare(chunk)
        self._waiting.append((ticket, chunk))

    def drop(self, worker: int, ticket: int) -> None:
        self._waiting = deque(one for one in self._waiting if one[0] != ticket)

    def wait(self, timeout: float | None) -> Event | None:
        if self._ready is not None:
            card, self._ready = self._ready, None
            return Ready(0, card)
        event = next(self._doing, None)
        if event is None and self._waiting:
            self._doing = self._do(*self._waiting.popleft())
            event = next(self._doing)
        return event

    def end(self, worker: int) -> None:
        self._hand = None
        self._waiting.clear()
        self._doing = iter(())

    def close(self) -> None:
        self.end(0)

    def _do(self, ticket: int, chunk: Any) -> Iterator[Event]:
        assert self._hand is not None
        busy = 0.0
        started = time.perf_counter()
        for part in self._hand.do(chunk):
            busy += time.perf_counter() - started
            yield Gave(0, ticket, part)
            started = time.perf_counter()
        yield Done(0, ticket, busy + time.perf_counter() - started)
