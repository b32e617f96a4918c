"""Batches across requests: a bounded queue of pictures, and threads that hand them to the workers.

A batch is as large as the judges take, and waits a few milliseconds for others to come. A worker that dies has its pictures
judged once more, one by one, so that one picture that kills it costs no other its verdict.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from suder_bench.runs.batches import AUTO
from suder_bench.runs.jsonl import Row
from suder_bench.service.asked import Asked, FaultError
from suder_bench.service.workers import NoWorker, Scores, WorkerDied

MOST_PIXELS = 2**26
"""Of the pictures of one batch: 0.2 GB of them unpacked."""


LEAST = 8
"""Pictures of a batch, where so many wait: networks judge fewer at a time at a loss."""

LOOK = 0.1
"""Seconds between two looks whether a worker lives again."""


class FullError(Exception):
    """There is no room for these; `wait` is after how many seconds there may be."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"the queue is full; come again in {wait} s")
        self.wait = wait


@dataclass
class Counts:
    """Of pictures since the start; `rate` is how many a second are judged of late."""

    judged: int = 0
    failed: int = 0
    given_up: int = 0
    rate: float = 0.0


@dataclass(frozen=True)
class _Waiting:
    asked: Asked
    row: Future[Row]
    since: float = field(default_factory=time.monotonic)


class Batching:
    """`workers` judge what is `put`, in order; at most `most` pictures wait, and one waits `patience` seconds for others."""

    def __init__(
        self, workers: Sequence[Scores], *, most: int, patience: float, batch_size: int = AUTO, most_pixels: int = MOST_PIXELS
    ) -> None:
        self.most, self.counts = most, Counts()
        self._patience, self._batch_size, self._most_pixels = patience, batch_size, most_pixels
        self._queue: deque[_Waiting] = deque()
        self._changed, self._closed = threading.Condition(), False
        self._under_way = 0
        self._workers = workers
        for worker in workers:
            alone = threading.Lock()
            for _ in range(worker.at_once):
                threading.Thread(target=self._feed, args=(worker, alone), daemon=True).start()

    def put(self, asked: Sequence[Asked]) -> list[Future[Row]]:
        """A row to come for each; one that is cancelled before its batch begins is never judged. Raises `FullError`."""
        waiting = [_Waiting(one, Future()) for one in asked]
        with self._changed:
            if self._closed:
                raise FullError(1)
            if len(self._queue) + len(waiting) > self.most:
                raise FullError(self._wait(len(self._queue) + len(waiting) - self.most))
            self._queue.extend(waiting)
            self._changed.notify_all()
        return [one.row for one in waiting]

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def under_way(self) -> int:
        return self._under_way

    def close(self) -> None:
        """Judge nothing more; whoever waits is told."""
        with self._changed:
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        for one in left:
            if one.row.set_running_or_notify_cancel():
                one.row.set_result(FaultError("closing", "the server ends").row)

    def _feed(self, worker: Scores, alone: threading.Lock) -> None:
        while batch := self._take(worker):
            begun = time.monotonic()
            try:
                rows = self._judged(worker, batch, alone)
                if len(rows) != len(batch):
                    raise RuntimeError(f"{len(rows)} rows for {len(batch)} pictures")
            except Exception as error:  # a bug here must not end the thread
                traceback.print_exc()
                rows = [FaultError("not_judged", f"{type(error).__name__}: {error}").row] * len(batch)
            for one, row in zip(batch, rows, strict=True):
                one.row.set_result(row)
            self._count(rows, time.monotonic() - begun)

    def _take(self, worker: Scores) -> list[_Waiting]:
        """The next batch; nothing once the queue is closed. A worker that is dead leaves it to those that are not."""
        with self._changed:
            while True:
                while not (self._closed or (self._queue and (worker.alive or not any(one.alive for one in self._workers)))):
                    self._changed.wait(LOOK if self._queue else None)
                if self._closed:
                    return []
                due = self._queue[0].since + self._patience
                self._changed.wait_for(
                    lambda: len(self._queue) >= self._batch_size or self._closed, max(due - time.monotonic(), 0)
                )
                if batch := self._cut(worker.at_once):
                    self._under_way += len(batch)
                    self._changed.notify()
                    return batch

    def _cut(self, parts: int) -> list[_Waiting]:
        """The first of the queue as far as a batch goes, without those that nobody waits for any more.

        A queue that two batches could take is shared between them, so that some callers have their answer, and come again,
        while the others' pictures are judged.
        """
        batch: list[_Waiting] = []
        pixels = 0
        most = min(self._batch_size, max(LEAST, math.ceil(len(self._queue) / parts)))
        while self._queue and len(batch) < most:
            pixels += self._queue[0].asked.pixels
            if batch and pixels > self._most_pixels:
                break
            one = self._queue.popleft()
            if one.row.set_running_or_notify_cancel():
                batch.append(one)
            else:
                pixels -= one.asked.pixels
                self.counts.given_up += 1
        return batch

    def _judged(self, worker: Scores, batch: Sequence[_Waiting], alone: threading.Lock) -> list[Row]:
        asked = [one.asked for one in batch]
        try:
            return worker.score(asked)
        except NoWorker as error:
            other = next((one for one in self._workers if one.alive), None)
            return self._judged(other, batch, alone) if other else [FaultError("no_worker", str(error)).row] * len(asked)
        except WorkerDied:
            with alone:  # or another's picture that kills it would be taken for these
                return [self._once_more(worker, one) for one in asked]

    def _once_more(self, worker: Scores, asked: Asked) -> Row:
        try:
            return worker.score([asked])[0]
        except WorkerDied as error:
            return FaultError("worker_died", f"twice a worker died over it: {error}").row
        except NoWorker as error:
            return FaultError("no_worker", str(error)).row

    def _count(self, rows: Sequence[Row], seconds: float) -> None:
        rate = len(rows) / max(seconds, 1e-6)
        with self._changed:
            self._under_way -= len(rows)
            failed = sum("error" in row for row in rows)
            self.counts.failed += failed
            self.counts.judged += len(rows) - failed
            self.counts.rate = rate if not self.counts.rate else 0.8 * self.counts.rate + 0.2 * rate

    def _wait(self, surplus: int) -> int:
        """Seconds until so many have left the queue, as far as is known."""
        return max(1, min(60, math.ceil(surplus / self.counts.rate))) if self.counts.rate else 1
