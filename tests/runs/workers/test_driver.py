"""The driver with crews that a test makes: what it sends, and to whom it gives what a worker leaves."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fakes import flat

from suder_bench.records import Answered, Response, Sample
from suder_bench.runs.judging import Handed
from suder_bench.runs.making import Asked
from suder_bench.runs.plan import Item
from suder_bench.runs.screen import Screen
from suder_bench.runs.workers.driver import Driver, Lot
from suder_bench.runs.workers.here import UNSEEN, Here, Holding
from suder_bench.runs.workers.protocol import Card, Died, Done, Event, Gave, Part, Ready, Unfit, WorkerError


@dataclass(frozen=True)
class Numbers:
    items: tuple[int, ...]
    with_content: bool = False

    def loaded(self) -> Numbers:
        return Numbers(self.items, with_content=True)


@dataclass
class Scripted:
    """A crew that doubles numbers, and whose workers end at the number `deadly`, so many times at most."""

    size: int = 2
    remote: bool = False
    deadly: int = -1
    full: bool = False
    times: int = 1000
    late: bool = False
    sent: list[Numbers] = field(default_factory=list)
    events: deque[Event] = field(default_factory=deque)
    gone: set[int] = field(default_factory=set)

    def name(self, worker: int) -> str:
        return f"worker {worker + 1}"

    def begin(self, worker: int, duty: Any) -> None:
        self.gone.discard(worker)
        self.events.append(Ready(worker, UNSEEN))

    def submit(self, worker: int, ticket: int, chunk: Numbers) -> None:
        self.sent.append(chunk)
        if worker in self.gone:
            return
        doubled = tuple((place, 2 * item) for place, item in enumerate(chunk.items))
        if self.deadly in chunk.items and self.times:
            self.times -= 1
            self.gone.add(worker)
            before = doubled[: chunk.items.index(self.deadly)]
            self.events += [Gave(worker, ticket, Part(before)), Died(worker, "fell over", full=self.full)]
            if self.late:
                self.events.append(Gave(worker, ticket, Part(doubled)))
        else:
            self.events += [Gave(worker, ticket, Part(doubled)), Done(worker, ticket, 0.5)]

    def drop(self, worker: int, ticket: int) -> None: ...

    def wait(self, timeout: float | None) -> Event | None:
        return self.events.popleft() if self.events else None

    def end(self, worker: int) -> None: ...

    def close(self) -> None: ...


@dataclass
class Forgetful(Scripted):
    """What such a worker has done is lost where it ends at the next chunk before it was asked."""

    done: list[Event] = field(default_factory=list)

    def submit(self, worker: int, ticket: int, chunk: Numbers) -> None:
        if self.deadly in chunk.items:
            self.done.clear()
            self.events.append(Died(worker, "fell over"))
        else:
            doubled = tuple((place, 2 * item) for place, item in enumerate(chunk.items))
            self.done += [Gave(worker, ticket, Part(doubled)), Done(worker, ticket, 0.5)]

    def wait(self, timeout: float | None) -> Event | None:
        if not self.events:
            self.events += self.done
            self.done.clear()
        return super().wait(timeout)


class NoDuty:
    def begin(self) -> Any:
        raise AssertionError


def drive(crew: Scripted, count: int = 40, chunk: int = 4) -> tuple[list[tuple[int, int]], Lot[int], str]:
    kept: list[tuple[int, int]] = []
    screen = Screen(io.StringIO())
    driver = Driver(crew, [("doubling", NoDuty())] * crew.size, screen)
    driver.muster("doubling")
    lot: Lot[int] = Lot("numbers", "doubling", lambda items: Numbers(tuple(items)), kept.extend)
    driver.add(lot, [range(start, min(start + chunk, count)) for start in range(0, count, chunk)])
    driver.run("numbers", count)
    return kept, lot, screen.stream.getvalue()  # type: ignore[attr-defined]


def test_every_item_is_done_once_in_the_chunks_it_was_given() -> None:
    crew = Scripted()
    kept, lot, _ = drive(crew)
    assert sorted(kept) == [(number, 2 * number) for number in range(40)]
    assert sorted(chunk.items for chunk in crew.sent) == [tuple(range(start, start + 4)) for start in range(0, 40, 4)]
    assert not any(chunk.with_content for chunk in crew.sent)
    assert not lot.failures


@pytest.mark.parametrize("late", [False, True])
def test_of_a_lost_chunk_only_what_is_not_kept_is_done_again(late: bool) -> None:
    kept, lot, told = drive(Scripted(deadly=9, times=1, late=late))
    assert sorted(kept) == [(number, 2 * number) for number in range(40)]
    assert not lot.failures
    assert "fell over; it is started again, what it had is done again" in told


def test_what_ends_every_worker_fails_alone() -> None:
    kept, lot, _ = drive(Scripted(deadly=9))
    assert [(failure.item, str(failure.error)) for failure in lot.failures] == [(9, "the worker fell over, 3 times")]
    assert sorted(number for number, _ in kept) == [number for number in range(40) if number != 9]


@pytest.mark.parametrize("chunk", [1, 4])
def test_nothing_is_blamed_for_what_its_neighbour_does(chunk: int) -> None:
    kept, lot, _ = drive(Forgetful(size=1, deadly=9), chunk=chunk)
    assert sorted(kept) == [(number, 2 * number) for number in range(40) if number != 9]
    assert [failure.item for failure in lot.failures] == [9]


def test_a_chunk_that_filled_the_memory_is_halved_at_once() -> None:
    crew = Scripted(deadly=9, times=1, full=True)
    kept, lot, _ = drive(crew)
    assert sorted(kept) == [(number, 2 * number) for number in range(40)]
    assert not lot.failures
    assert [chunk.items for chunk in crew.sent if len(chunk.items) < 4] == [(9,), (10, 11)]


def test_remote_workers_get_content_and_no_paths(tmp_path: Path) -> None:
    crew = Scripted(remote=True)
    drive(crew)
    assert all(chunk.with_content for chunk in crew.sent)
    flat(7).save(tmp_path / "a.png")
    sample = Sample("a", "a", "which shade?", (tmp_path / "a.png",))
    [item] = Asked("reading", False, (Item("reading", sample, 0, 1),)).loaded().items
    assert item.sample.images == ((tmp_path / "a.png").read_bytes(),)
    there = Answered(sample, Response("drawing", "a", 0, 1, "", image="a.png"), tmp_path / "a.png")
    torn = Answered(sample, Response("drawing", "a", 1, 1, "", image="b.png"), tmp_path / "b.png")
    first, second = Handed("drawing", (there, torn)).loaded().answered
    assert first.open_image().getpixel((0, 0)) == (7, 7, 7)
    assert second.source == tmp_path / "b.png", "whoever opens it says why it cannot be read"


def test_a_chunk_of_this_process_is_given_in_parts() -> None:
    class Halves:
        def card(self) -> Card:
            return UNSEEN

        def prepare(self, chunk: Numbers) -> None: ...

        def do(self, chunk: Numbers) -> Iterator[Part]:
            middle = len(chunk.items) // 2
            yield Part(tuple((place, 0) for place in range(middle)), said=("half",))
            yield Part(tuple((place, 0) for place in range(middle, len(chunk.items))))

    kept: list[Sequence[Any]] = []
    screen = Screen(io.StringIO())
    driver = Driver(Here(), [("doubling", Holding(Halves()))], screen)
    driver.muster("doubling")
    driver.add(Lot("numbers", "doubling", lambda items: Numbers(tuple(items)), kept.append), [[1, 2, 3, 4]])
    driver.run("numbers", 4)
    assert kept == [[(1, 0), (2, 0)], [(3, 0), (4, 0)]]
    assert screen.stream.getvalue() == "numbers: half\n"  # type: ignore[attr-defined]


def test_a_worker_that_lost_its_model_for_good_may_judge() -> None:
    class Poor(Scripted):
        """Cannot hold its model again once it has ended."""

        def begin(self, worker: int, duty: Any) -> None:
            full = duty == "model" and worker in self.gone
            self.events.append(Unfit(worker, WorkerError("GPU is full")) if full else Ready(worker, UNSEEN))

        def end(self, worker: int) -> None:
            self.events.clear()

    driver = Driver(Poor(size=1, deadly=2), [("model", "model")], Screen(io.StringIO()))  # type: ignore[list-item]
    driver.muster("model")
    lot: Lot[int] = Lot("numbers", "model", lambda items: Numbers(tuple(items)), lambda pairs: None)
    driver.add(lot, [[1, 2]])
    driver.run("numbers", 2)
    assert lot.failures
    driver.reassign("model", "judges", "judges")  # type: ignore[arg-type]
    assert driver.muster("judges") is UNSEEN


def test_what_waits_to_be_read_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver itself was held up, for example by a slow disk, for longer than a worker may be silent."""
    ended: list[int] = []
    clock = iter(range(0, 100_000, 5))
    monkeypatch.setattr("suder_bench.runs.workers.driver.time.monotonic", lambda: float(next(clock)))
    crew = Scripted(size=2)
    monkeypatch.setattr(crew, "end", ended.append)
    kept: list[tuple[int, int]] = []
    driver = Driver(crew, [("doubling", NoDuty())] * 2, Screen(io.StringIO()), timeout=100.0)
    driver.muster("doubling")
    lot: Lot[int] = Lot("numbers", "doubling", lambda items: Numbers(tuple(items)), kept.extend)
    driver.add(lot, [range(start, start + 4) for start in range(0, 40, 4)])
    driver.run("numbers", 40)
    assert len(kept) == 40
    assert not ended
