"""The driver: it feeds workers, keeps what they give, and goes on without those that end.

Nothing is lost and nothing doubled: a chunk belongs to one worker at a time, what a worker gives that has lost its chunk is not
kept, and of a chunk whose worker ended only what is not kept yet is done again. A chunk that goes down with its worker once is
given whole to another, since most that kills is not the chunk's fault; then it is halved, until an item that ends every worker
stands alone and fails. No worker waits for another.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from suder_bench.errors import JudgeError, UserError
from suder_bench.runs.batches import Failure
from suder_bench.runs.screen import Bar, Screen
from suder_bench.runs.workers.protocol import (
    Card,
    Crew,
    Deserted,
    Died,
    Done,
    Duty,
    Event,
    Gave,
    Packed,
    Ready,
    Unfit,
    WorkerError,
)

Item = TypeVar("Item")

IN_FLIGHT = 2
"""Chunks that a worker has at most, so that it never waits for the driver; memory is bounded by them."""

DEATHS = 3
"""A chunk is halved, or its only item fails, when it has gone down with so many workers."""

BEGINNINGS, AGAIN = 3, 20
"""A worker that has ended so often in a row before it was ready is given up; so much later if it has been ready before, since
what it holds can be loaded."""

LOOK = 1.0
"""Seconds between two looks at workers that may hang."""


@dataclass
class Lot(Generic[Item]):
    """Items of one kind of work, for the workers of a `kind`, and what becomes of them.

    `pack` makes of items the chunk that is sent. `keep` is given items with their results, each item once.
    """

    label: str
    kind: str
    pack: Callable[[Sequence[Item]], Packed]
    keep: Callable[[Sequence[tuple[Item, Any]]], None]
    failures: list[Failure[Item]] = field(default_factory=list)
    stopped: Exception | None = None


@dataclass
class Chunk:
    """Items of a lot that go to a worker together; once they have gone, `open` are the places of those without a result."""

    lot: Lot[Any]
    items: Sequence[Any]
    deaths: int = 0
    open: set[int] = field(default_factory=set)

    def left(self) -> Chunk:
        return Chunk(self.lot, [self.items[place] for place in sorted(self.open)], self.deaths)


@dataclass
class Tally:
    """What a worker has done of one kind of work: items, in `seconds` that it was busy, on a GPU or not."""

    items: int = 0
    seconds: float = 0.0
    gpu: bool = False


@dataclass
class Place:
    """A worker as its driver sees it. `since` is when it last was given something, or gave something; of the duties that it has
    begun, `unanswered` are those of which it has not said yet whether it can take them up."""

    worker: int
    kind: str
    duty: Duty
    state: str = "off"
    card: Card | None = None
    flight: dict[int, Chunk] = field(default_factory=dict)
    beginnings: int = 0
    unanswered: int = 0
    since: float = 0.0


class Driver:
    """Has the workers of a crew do lots. `timeout` is how many seconds a worker may be silent while it loads, or has work.

    `admit` is told the name, kind and card of each worker that is ready, and may raise `UserError` for one that holds something
    else than it should, which is then left out by name.
    """

    def __init__(
        self,
        crew: Crew,
        places: Sequence[tuple[str, Duty]],
        screen: Screen,
        *,
        timeout: float | None = None,
        admit: Callable[[str, str, Card], None] = lambda name, kind, card: None,
    ) -> None:
        self.crew, self.screen = crew, screen
        self.places = [Place(worker, kind, duty) for worker, (kind, duty) in enumerate(places)]
        self._timeout, self._admit = timeout, admit
        self._waiting: dict[str, deque[Chunk]] = {}
        self._tickets = itertools.count()
        self._refusals: dict[str, Exception] = {}
        self._untold: dict[str, list[str]] = {}
        self._bar: Bar | None = None
        self.tallies: dict[tuple[str, str], Tally] = {}
        """By kind and name of the worker."""

    def muster(self, kind: str) -> Card:
        """Have the workers of a kind begin; returns what the first shows that is ready. Raises `UserError` where none can be."""
        own = self._of(kind)
        for place in own:
            if place.state == "off":
                self._begin(place)
        while not any(place.state == "ready" for place in own):
            if all(place.state == "out" for place in own):
                error = self._refusals[kind]
                raise error if isinstance(error, UserError) else WorkerError(f"no worker can begin: {error!r}")
            self._step()
        return next(place.card for place in own if place.state == "ready" and place.card is not None)

    def reassign(self, kind: str, other: str, duty: Duty) -> None:
        """Have the workers of a kind, which have nothing to do any more, take up the duty of another kind."""
        for place in self._of(kind):
            place.kind, place.duty, place.card = other, duty, None
            if place.state == "out":  # what could not have the one may have the other
                place.state, place.beginnings = "off", 0
            if place.state in ("ready", "loading"):
                self._begin(place)

    def add(self, lot: Lot[Item], chunks: Iterable[Sequence[Item]]) -> None:
        """Give a lot more items, which stay together in these chunks."""
        self._waiting.setdefault(lot.kind, deque()).extend(Chunk(lot, items) for items in chunks)

    def run(self, label: str, total: int) -> None:
        """Do all that was added, and what `keep` adds meanwhile, which `total` counts too; `label` is for the bar."""
        note = (lambda: f"  {self.alive()} of {self.crew.size} workers") if self.crew.size > 1 else None
        with self.screen.bar(label, total, note) as bar, self._showing(bar):
            while self._busy():
                self._feed()
                if self._busy():
                    self._step()

    def alive(self, kind: str | None = None) -> int:
        return sum(place.state == "ready" for place in self.places if kind in (None, place.kind))

    @contextmanager
    def _showing(self, bar: Bar) -> Iterator[None]:
        self._bar = bar
        try:
            yield
        finally:
            self._bar = None

    def _of(self, kind: str) -> list[Place]:
        return [place for place in self.places if place.kind == kind]

    def _busy(self) -> bool:
        return any(self._waiting.values()) or any(place.flight for place in self.places)

    def _feed(self) -> None:
        """Give each ready worker what it may have; the second chunk only where there are enough for all others."""
        for most in range(1, IN_FLIGHT + 1):
            for place in self.places:
                waiting = self._waiting.get(place.kind)
                if not waiting or place.state != "ready" or len(place.flight) >= most:
                    continue
                if most > 1 and len(waiting) < len(self._of(place.kind)):
                    continue
                if place.flight and any(chunk.deaths for chunk in (waiting[0], *place.flight.values())):
                    continue  # what went down with a worker is alone with the next, so that no other is blamed for its end
                self._submit(place, waiting.popleft())
        for kind, waiting in self._waiting.items():
            if waiting and all(place.state == "out" for place in self._of(kind)):
                why = Deserted(f"no worker is left: {self._refusals[kind]}")
                while waiting:
                    self._fail(waiting.popleft(), why)

    def _submit(self, place: Place, chunk: Chunk) -> None:
        if chunk.lot.stopped is not None:
            self._fail(chunk, chunk.lot.stopped)
            return
        ticket = next(self._tickets)
        chunk.open = set(range(len(chunk.items)))
        if not place.flight:
            place.since = time.monotonic()
        place.flight[ticket] = chunk
        packed = chunk.lot.pack(chunk.items)
        self.crew.submit(place.worker, ticket, packed.loaded() if self.crew.remote else packed)

    def _step(self) -> None:
        """Wait for something to happen, and see to it."""
        event = self.crew.wait(LOOK if self._timeout is None else min(LOOK, self._timeout / 4))
        while event is not None:
            self._meet(self.places[event.worker], event)
            event = None if self._timeout is None else self.crew.wait(0)  # what waits to be read was no silence
        if self._timeout is not None:
            for place in self.places:
                silent = time.monotonic() - place.since
                if (place.state == "loading" or place.flight) and silent > self._timeout:
                    self.crew.end(place.worker)
                    self._died(place, f"said nothing for {silent:.0f} s (--worker-timeout {self._timeout:g})")

    def _meet(self, place: Place, event: Event) -> None:
        place.since = time.monotonic()
        if isinstance(event, Ready | Unfit):
            place.unanswered -= 1
            if place.unanswered:  # it was given another duty meanwhile
                return
        if isinstance(event, Ready):
            self._ready(place, event.card)
        elif isinstance(event, Unfit):
            self.crew.end(place.worker)
            self._refuse(place, event.error)
        elif isinstance(event, Died):
            self._died(place, event.why, full=event.full)
        elif isinstance(event, Gave) and event.ticket in place.flight:
            self._gave(place, event)
        elif isinstance(event, Done) and event.ticket in place.flight:
            chunk = place.flight.pop(event.ticket)
            self._tally(place).seconds += event.seconds
            if chunk.open:
                self._fail(chunk.left(), WorkerError(f"{self.name(place)} gave no result"))

    def _begin(self, place: Place) -> None:
        place.state, place.since = "loading", time.monotonic()
        place.unanswered += 1
        self.crew.begin(place.worker, place.duty)

    def _ready(self, place: Place, card: Card) -> None:
        place.card = card
        try:
            self._admit(self.name(place), place.kind, card)
        except UserError as error:
            self.crew.end(place.worker)
            self._refuse(place, error)
        else:
            place.state, place.beginnings = "ready", 0
            self._tell(place.kind)

    def _refuse(self, place: Place, error: Exception) -> None:
        """Go on without a worker; why is told once another can work, and raised where none can."""
        place.state = "out"
        self._refusals[place.kind] = error
        shown = str(error) if isinstance(error, UserError) else repr(error)
        self._untold.setdefault(place.kind, []).append(f"suder-bench: {self.name(place)} cannot work: {shown}")
        if self.alive(place.kind):
            self._tell(place.kind)

    def _tell(self, kind: str) -> None:
        for line in self._untold.pop(kind, []):
            self.screen.say(line)

    def _died(self, place: Place, why: str, *, full: bool = False) -> None:
        lost = [*place.flight.values()]
        place.flight.clear()
        place.unanswered = 0
        loading = place.state == "loading"
        place.beginnings += loading
        place.state = "off"
        waiting = self._waiting.setdefault(place.kind, deque())
        back = [chunk.left() for chunk in lost if chunk.open]
        again = [*self._blamed(back[0], why, full), *back[1:]] if back else []
        waiting.extendleft(reversed(again))
        if place.beginnings >= (BEGINNINGS if place.card is None else AGAIN):
            self._refuse(place, WorkerError(f"{self.name(place)} {why}, {place.beginnings} times before it could begin"))
            return
        given = ", what it had is done again" if lost else ""
        self.screen.say(f"{self.name(place)} {why}; it is started again{given}")
        self._begin(place)

    def _blamed(self, chunk: Chunk, why: str, full: bool) -> list[Chunk]:
        """What is to be done again of the chunk that a worker was at when it ended; half of it needs less memory."""
        chunk.deaths += 1
        if chunk.deaths < DEATHS and not (full and len(chunk.items) > 1):
            return [chunk]
        if len(chunk.items) == 1:
            self._fail(chunk, WorkerError(f"the worker {why}, {chunk.deaths} times"))
            return []
        half = len(chunk.items) // 2
        return [Chunk(chunk.lot, part, chunk.deaths - 1) for part in (chunk.items[:half], chunk.items[half:])]

    def _gave(self, place: Place, event: Gave) -> None:
        chunk = place.flight[event.ticket]
        for line in event.part.said:
            self.screen.say(f"{chunk.lot.label}: {line}")
        results = [(place_of, result) for place_of, result in event.part.results if place_of in chunk.open]
        if results:
            chunk.lot.keep([(chunk.items[place_of], result) for place_of, result in results])
        chunk.open -= {place_of for place_of, _ in results}
        self._tally(place).items += len(results)
        self._advance(len(results))
        for place_of, error in event.part.failures:
            if place_of in chunk.open:
                chunk.open.discard(place_of)
                chunk.lot.failures.append(Failure(chunk.items[place_of], error))
                self._advance(1)
                if isinstance(error, JudgeError):
                    self._stop(chunk.lot, error)

    def _stop(self, lot: Lot[Any], error: Exception) -> None:
        """No item of the lot can be done any more."""
        if lot.stopped is not None:
            return
        lot.stopped = error
        for place in self.places:
            for ticket, chunk in [*place.flight.items()][1:]:
                if chunk.lot is lot:
                    self.crew.drop(place.worker, ticket)
                    del place.flight[ticket]
                    self._fail(chunk, error)

    def _fail(self, chunk: Chunk, error: Exception) -> None:
        chunk.lot.failures += [Failure(item, error) for item in chunk.items]
        self._advance(len(chunk.items))

    def _tally(self, place: Place) -> Tally:
        gpu = place.card is not None and place.card.device.startswith("cuda")
        return self.tallies.setdefault((place.kind, self.name(place)), Tally(gpu=gpu))

    def _advance(self, count: int) -> None:
        if self._bar is not None and count:
            self._bar.advance(count)

    def name(self, place: Place) -> str:
        return self.crew.name(place.worker)
