"""Batches across requests: what waits, how long, and what becomes of it when a worker dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any

import pytest

from suder_bench.service.asked import Asked
from suder_bench.service.batching import Batching, FullError
from suder_bench.service.workers import NoWorker, WorkerDied


class Scripted:
    """A worker whose rows say the prompt; it dies over pictures of `deadly` prompts, and waits for `gate` before each batch."""

    at_once = 1

    def __init__(self, *deadly: str) -> None:
        self.deadly, self.batches = deadly, list[list[str]]()
        self.gate = threading.Event()
        self.gate.set()
        self.gone = False

    @property
    def alive(self) -> bool:
        return not self.gone

    def score(self, batch: Sequence[Asked]) -> list[dict[str, Any]]:
        self.gate.wait()
        self.batches.append([str(one.prompt) for one in batch])
        if self.gone:
            raise NoWorker("it is gone")
        if any(one.prompt in self.deadly for one in batch):
            raise WorkerDied("it died")
        return [{"score": 1.0, "sample": one.prompt} for one in batch]

    def told(self) -> dict[str, Any]:
        return {}


def asked(*prompts: str, pixels: int = 1) -> list[Asked]:
    return [Asked("drawing", b"", pixels, prompt) for prompt in prompts]


def rows(futures: Sequence[Future[dict[str, Any]]]) -> list[Any]:
    return [row.get("sample") or row["error"]["code"] for row in (future.result(10) for future in futures)]


def test_requests_share_a_batch_that_waits_for_others() -> None:
    worker = Scripted()
    batching = Batching([worker], most=100, patience=0.3, batch_size=8)
    one, other = batching.put(asked("a", "b")), batching.put(asked("c"))
    assert (rows(one), rows(other)) == (["a", "b"], ["c"])
    assert worker.batches == [["a", "b", "c"]]
    batching.close()


def test_a_full_batch_waits_for_nobody_and_a_picture_no_longer_than_the_patience() -> None:
    worker = Scripted()
    batching = Batching([worker], most=100, patience=30.0, batch_size=2)
    assert rows(batching.put(asked("a", "b"))) == ["a", "b"]
    patient = Batching([worker], most=100, patience=0.05, batch_size=2)
    begun = time.monotonic()
    assert rows(patient.put(asked("c"))) == ["c"]
    assert time.monotonic() - begun < 5
    for each in (batching, patient):
        each.close()


def test_large_pictures_make_smaller_batches() -> None:
    worker = Scripted()
    batching = Batching([worker], most=100, patience=0.0, batch_size=8, most_pixels=100)
    worker.gate.clear()
    futures = batching.put(asked("a", "b", "c", pixels=45)) + batching.put(asked("d", pixels=500))
    worker.gate.set()
    assert rows(futures) == ["a", "b", "c", "d"]
    assert worker.batches == [["a", "b"], ["c"], ["d"]]
    batching.close()


def test_what_does_not_fit_into_the_queue_is_refused_whole() -> None:
    worker = Scripted()
    worker.gate.clear()
    batching = Batching([worker], most=3, patience=0.0, batch_size=1)
    first = batching.put(asked("a"))
    while batching.waiting:  # until it is under way
        time.sleep(0.01)
    later = batching.put(asked("b", "c"))
    with pytest.raises(FullError) as full:
        batching.put(asked("d", "e"))
    assert full.value.wait == 1
    more = batching.put(asked("f"))
    worker.gate.set()
    assert rows(first + later + more) == ["a", "b", "c", "f"]
    batching.close()


def test_what_nobody_waits_for_is_not_judged() -> None:
    worker = Scripted()
    worker.gate.clear()
    batching = Batching([worker], most=9, patience=0.0, batch_size=2)
    first = batching.put(asked("a"))
    while batching.waiting:
        time.sleep(0.01)
    left, kept = batching.put(asked("b", "c")), batching.put(asked("d"))
    assert all(future.cancel() for future in left)
    worker.gate.set()
    assert rows(first + kept) == ["a", "d"]
    assert worker.batches == [["a"], ["d"]]
    assert (batching.counts.judged, batching.counts.given_up) == (2, 2)
    batching.close()


def test_a_worker_that_dies_has_its_batch_judged_once_more_and_one_picture_costs_no_other_its_row() -> None:
    worker = Scripted("deadly")
    batching = Batching([worker], most=9, patience=0.1, batch_size=4)
    assert rows(batching.put(asked("a", "deadly", "b"))) == ["a", "worker_died", "b"]
    assert worker.batches == [["a", "deadly", "b"], ["a"], ["deadly"], ["b"]]
    assert (batching.counts.judged, batching.counts.failed) == (2, 1)
    batching.close()


def test_without_a_worker_everybody_is_told() -> None:
    worker = Scripted()
    worker.gone = True
    batching = Batching([worker], most=9, patience=0.0)
    assert rows(batching.put(asked("a", "b"))) == ["no_worker", "no_worker"]
    batching.close()


def test_a_dead_worker_takes_nothing_while_another_lives() -> None:
    dead, alive = Scripted(), Scripted()
    dead.gone = True
    batching = Batching([dead, alive], most=99, patience=0.0, batch_size=1)
    assert rows(batching.put(asked(*"abcdefgh"))) == list("abcdefgh")
    assert (dead.batches, len(alive.batches)) == ([], 8)
    batching.close()


def test_what_a_worker_leaves_behind_for_good_is_judged_by_another() -> None:
    leaving, other = Scripted(), Scripted()
    leaving.gate.clear()
    workers = [leaving]
    batching = Batching(workers, most=9, patience=0.0)
    futures = batching.put(asked("a"))
    while not batching.under_way:
        time.sleep(0.01)
    workers.append(other)
    leaving.gone = True
    leaving.gate.set()
    assert rows(futures) == ["a"]
    assert other.batches == [["a"]]
    batching.close()
    with pytest.raises(FullError):
        batching.put(asked("b"))


def test_a_bug_of_a_worker_ends_no_thread(capfd: pytest.CaptureFixture[str]) -> None:
    class Broken(Scripted):
        def score(self, batch: Sequence[Asked]) -> list[dict[str, Any]]:
            raise ValueError("a bug")

    batching = Batching([Broken()], most=9, patience=0.0)
    for _ in range(2):
        assert rows(batching.put(asked("a"))) == ["not_judged"]
    assert "ValueError: a bug" in capfd.readouterr().err
    batching.close()


def test_two_workers_share_the_queue() -> None:
    workers = [Scripted(), Scripted()]
    for worker in workers:
        worker.gate.clear()
    batching = Batching(workers, most=9, patience=0.0, batch_size=1)
    futures = batching.put(asked("a", "b"))
    while batching.waiting:
        time.sleep(0.01)
    for worker in workers:
        worker.gate.set()
    wait(futures)
    assert sorted(worker.batches[0] for worker in workers) == [["a"], ["b"]]
    batching.close()


def test_at_the_end_those_who_wait_are_told() -> None:
    worker = Scripted()
    worker.gate.clear()
    batching = Batching([worker], most=9, patience=0.0, batch_size=1)
    futures = batching.put(asked("a", "b"))
    while batching.waiting > 1:
        time.sleep(0.01)
    batching.close()
    worker.gate.set()
    assert rows(futures) == ["a", "closing"]
