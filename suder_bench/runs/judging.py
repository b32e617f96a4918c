"""How judges judge responses, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from suder_bench.ahead import WORKERS
from suder_bench.benchmark import Benchmark
from suder_bench.errors import PictureError
from suder_bench.records import Answered, Verdict, content
from suder_bench.runs.batches import Batch, BatchSize, Lost, attempts
from suder_bench.runs.judges import Panel
from suder_bench.runs.pictures import decoded
from suder_bench.runs.store import read_verdict, verdict_row
from suder_bench.runs.workers.protocol import Card, Part


@dataclass(frozen=True, eq=False)
class Handed:
    """A chunk: responses to one benchmark."""

    benchmark: str
    answered: tuple[Answered, ...]

    def loaded(self) -> Handed:
        """With the content of all pictures, for a worker that cannot read this machine's files. One that cannot be read here is
        told by the worker."""
        return Handed(self.benchmark, tuple(map(_loaded, self.answered)))


@dataclass
class Jury:
    """Judges and the benchmarks that ask them, as a worker's hand. A result is a verdict, or the `PictureError` of a picture
    that cannot be read.

    Threads decode the pictures of a chunk when it arrives, while the judges look at the one before.
    """

    panel: Panel
    benchmarks: Mapping[str, Benchmark]
    size: BatchSize
    shows: Card
    threads: int = WORKERS
    _pool: ThreadPoolExecutor | None = None
    _held: dict[int, list[Future[Answered | PictureError]]] = field(default_factory=dict)

    def card(self) -> Card:
        return self.shows

    def prepare(self, chunk: Handed) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")
        self._held[id(chunk)] = [self._pool.submit(decoded, one) for one in chunk.answered]

    def do(self, chunk: Handed) -> Iterator[Part]:
        if id(chunk) not in self._held:
            self.prepare(chunk)
        coming = self._held.pop(id(chunk))
        benchmark = self.benchmarks[chunk.benchmark]

        def judge(batch: Sequence[int]) -> list[Verdict | PictureError]:
            found = {place: self._decoded(coming, place, chunk) for place in batch}
            readable = {place: one for place, one in found.items() if isinstance(one, Answered)}
            verdicts = dict(zip(readable, verdicts_of(benchmark, list(readable.values()), self.panel), strict=True))
            return [verdicts[place] if place in verdicts else _unread(found[place]) for place in batch]

        for found in attempts(range(len(chunk.answered)), judge, size=self.size):
            if isinstance(found, Batch):
                yield Part(results=tuple(enumerate(found.results, found.start)))
            elif isinstance(found, Lost):
                yield Part(failures=((found.index, found.error),))
            else:
                yield Part(said=(str(found),))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._held.clear()

    def _decoded(self, coming: list[Future[Answered | PictureError]], place: int, chunk: Handed) -> Answered | PictureError:
        try:
            return coming[place].result()
        except BaseException:  # the next call tries again
            assert self._pool is not None
            coming[place] = self._pool.submit(decoded, chunk.answered[place])
            raise


def verdicts_of(benchmark: Benchmark, answered: Sequence[Answered], panel: Panel) -> list[Verdict]:
    """One verdict on each response, in order, as it is stored and read back, so that a number never depends on whether it was.

    Raises what the benchmark or a judge raises.
    """
    if not answered:
        return []
    verdicts = [read_verdict(benchmark.name, verdict_row(verdict)) for verdict in benchmark.verdicts(answered, panel.judges)]
    if [(verdict.sample, verdict.repeat, verdict.digest) for verdict in verdicts] != [_key(one) for one in answered]:
        raise RuntimeError(f"{benchmark.name}: verdicts are not one per response, in order")
    return verdicts


def _loaded(one: Answered) -> Answered:
    sample = replace(one.sample, images=tuple(map(content, one.sample.images)))
    return replace(one, sample=sample, source=None if one.source is None else content(one.source))


def _unread(found: Answered | PictureError) -> PictureError:
    assert isinstance(found, PictureError)
    return found


def _key(one: Answered) -> tuple[str, int, str]:
    return one.sample.id, one.response.repeat, one.response.digest
