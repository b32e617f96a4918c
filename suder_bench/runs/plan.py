"""What a run is to do: which samples of which benchmarks, how often, with which seeds."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast, overload

import numpy as np

from suder_bench import registry
from suder_bench.benchmark import (
    Benchmark,
    DescribesData,
    GenerationBenchmark,
    KnowsReleases,
    LimitsAnswers,
    NamesEditions,
    WordsQuestions,
)
from suder_bench.data.catalogue import differing
from suder_bench.data.source import Source
from suder_bench.errors import MissingPictures, UserError, unknown
from suder_bench.limits import Limits
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.records import Embedded, ImageSource, Sample
from suder_bench.runs.jsonl import plain
from suder_bench.runs.measured import Measures
from suder_bench.terms import USUAL, Terms

OFFICIAL = "official"


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a run's numbers are, besides the model's weights.

    `protocol` is used by the benchmarks that offer it; the others keep the official one. `prompt_style` None is each
    benchmark's usual one. `judge_dtype` "auto" is for each
    judge the precision of its benchmark's script. `allow_missing` questions of a benchmark may lack their picture, at most.
    """

    suite: str
    benchmarks: tuple[str, ...]
    source: Source
    protocol: str = OFFICIAL
    prompt_style: str | None = None
    seed: int = 0
    limit: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    repeats: int | None = None
    image: ImageSampling = field(default_factory=ImageSampling)
    text: TextSampling = field(default_factory=TextSampling)
    device: str = "cpu"
    dtype: str = "float32"
    judges: Mapping[str, str] = field(default_factory=dict)
    judge_device: str = "cpu"
    judge_dtype: str = "auto"
    known_answers: bool = True
    terms: Terms = USUAL
    offline: bool = False
    allow_missing: int = 0

    @property
    def limited(self) -> Limits:
        """`limit` samples of each benchmark at most, and of those in `limits` so many."""
        return Limits(self.limit, self.limits)


@dataclass(frozen=True, slots=True)
class Item:
    """One response to make, of a run with this seed: its own `seed` decides its random stream."""

    benchmark: str
    sample: Sample
    repeat: int
    run_seed: int

    @property
    def key(self) -> tuple[str, int]:
        return self.sample.id, self.repeat

    @property
    def seed(self) -> int:
        return seed_of(self.run_seed, self.benchmark, self.sample.id, self.repeat)


@dataclass(frozen=True)
class Items(Sequence[Item]):
    """The items of a plan, each made when it is looked at: a sample's repeats, then the next sample's."""

    benchmark: str
    samples: tuple[Sample, ...]
    repeats: int
    run_seed: int

    def __len__(self) -> int:
        return len(self.samples) * self.repeats

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, place: int | slice) -> Item | tuple[Item, ...]:
        found = range(len(self))[place]
        return self._at(found) if isinstance(found, int) else tuple(map(self._at, found))

    def __iter__(self) -> Iterator[Item]:
        for sample in self.samples:
            for repeat in range(self.repeats):
                yield Item(self.benchmark, sample, repeat, self.run_seed)

    def place(self, sample: str, repeat: int) -> int | None:
        """Where an item stands, None for one that is not among them."""
        found = self._numbers.get(sample)
        return None if found is None or not 0 <= repeat < self.repeats else found * self.repeats + repeat

    def _at(self, place: int) -> Item:
        sample, repeat = divmod(place, self.repeats)
        return Item(self.benchmark, self.samples[sample], repeat, self.run_seed)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {sample.id: number for number, sample in enumerate(self.samples)}


@dataclass(frozen=True)
class Task:
    """One benchmark of a run. `items` keeps the repeats of a prompt together, so that a model reads the prompt once.

    `data` is a digest of all the benchmark's samples, whatever the limit. `left_out` samples lack their picture, and no item
    asks about them. `unofficial` tells in what they are not the official ones.
    """

    benchmark: Benchmark
    protocol: str
    repeats: int
    samples: tuple[Sample, ...]
    items: Sequence[Item]
    data: str
    left_out: int = 0
    unofficial: str = ""

    @property
    def name(self) -> str:
        return self.benchmark.name

    @property
    def draws(self) -> bool:
        return self.benchmark.kind == "generation"

    @property
    def text(self) -> TextSampling | None:
        """How its answers are written, where the benchmark says so."""
        return self.benchmark.text_sampling if isinstance(self.benchmark, LimitsAnswers) else None

    @cached_property
    def work(self) -> dict[str, int]:
        """The place of each sample in the order in which a model answers, whichever of the items it is asked: questions about
        the same pictures beside each other, so that a batch has few pictures, and these by their longest question, so that a
        batch has questions of like length. Empty where pictures are drawn, in the order of the items."""
        if self.draws:
            return {}
        about: dict[tuple[ImageSource, ...], list[Sample]] = {}
        for sample in self.samples:
            about.setdefault(sample.images, []).append(sample)
        together = sorted(about.values(), key=lambda group: max(len(sample.prompt) for sample in group))
        return {sample.id: place for place, sample in enumerate(sample for group in together for sample in group)}


def plan(settings: Settings, say: Callable[[str], None]) -> list[Task]:
    """The tasks of a run, from the benchmarks' files.

    Raises `UserError` for one benchmark whose files are missing, an `ExceptionGroup` of them for several.
    """
    offered = {name: registry.load("benchmarks", name).protocols for name in settings.benchmarks}
    if not any(settings.protocol in protocols for protocols in offered.values()):
        raise unknown("protocol", settings.protocol, {protocol for protocols in offered.values() for protocol in protocols})
    tasks: list[Task] = []
    mistakes: list[UserError] = []
    for name in settings.benchmarks:
        try:
            protocol = settings.protocol if settings.protocol in offered[name] else OFFICIAL
            tasks.append(_task(name, protocol, settings, say))
        except UserError as mistake:
            mistakes.append(mistake)
    raise_all(mistakes)
    if settings.prompt_style is not None and not any(isinstance(task.benchmark, WordsQuestions) for task in tasks):
        names = " and ".join(task.name for task in tasks)
        raise UserError(f"--prompt-style {settings.prompt_style} is for questions, and {names} asks none; leave it out")
    return tasks


def protocol_named(given: str, benchmarks: Iterable[str]) -> str:
    """The protocol's own name, also where one of the benchmarks knows it by another (`NamesEditions`)."""
    for name in benchmarks:
        factory = registry.load("benchmarks", name)
        if given not in factory.protocols and isinstance(factory, NamesEditions) and given.lower() in factory.editions:
            return factory.editions[given.lower()]
    return given


def raise_all(mistakes: Sequence[UserError]) -> None:
    """Raise nothing, the one mistake, or a group of them, which the command line tells line by line."""
    if len(mistakes) == 1:
        raise mistakes[0]
    if mistakes:
        raise ExceptionGroup("several mistakes", list(mistakes))


def build(name: str, folder: Path, protocol: str) -> Benchmark:
    """A benchmark over its files. Raises `UserError` when it does not offer the protocol."""
    factory = registry.load("benchmarks", name)
    if protocol not in factory.protocols:
        raise unknown(f"{name} protocol", protocol, factory.protocols)
    benchmark: Benchmark = factory(folder, protocol=protocol)
    return benchmark


def word(benchmark: Benchmark, style: str) -> None:
    """Have a benchmark's questions put as a harness does; one that asks none is let be. Raises `UserError` where it cannot."""
    if isinstance(benchmark, WordsQuestions):
        if style not in benchmark.prompt_styles:
            raise unknown(f"{benchmark.name} prompt style", style, benchmark.prompt_styles)
        benchmark.prompt_style = style
    elif benchmark.kind == "understanding":
        raise UserError(f"{benchmark.name} has no prompt styles; leave --prompt-style {style} out")


def seed_of(run_seed: int, benchmark: str, sample: str, repeat: int) -> int:
    """The random stream of one response, 63 bits: a pure function of what it is a response to."""
    name = json.dumps([run_seed, benchmark, sample, repeat]).encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8]) >> 1


def places(items: Sequence[Item]) -> Callable[[str, int], int | None]:
    """Tells where a sample's repeat stands among items, None where it does not."""
    if isinstance(items, Items):
        return items.place
    place = {item.key: number for number, item in enumerate(items)}
    return lambda sample, repeat: place.get((sample, repeat))


def evenly(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """At most `limit` samples spread over the official order, so that every category is met; all of them for None.

    Clusters stay whole, because a circular question or a question group cut in two cannot be scored: a single cluster
    larger than the limit is taken as it is.
    """
    if limit is None or limit >= len(samples):
        return list(samples)
    sizes: dict[str, int] = {}
    for sample in samples:
        sizes[sample.cluster] = sizes.get(sample.cluster, 0) + 1
    names = list(sizes)
    count = max(1, limit * len(names) // len(samples))
    while count > 1 and sum(sizes[name] for name in _spread(names, count)) > limit:
        count -= 1
    chosen = set(_spread(names, count))
    return [sample for sample in samples if sample.cluster in chosen]


def samples_digest(samples: Sequence[Sample]) -> str:
    """Changes with every id, prompt, ground truth and picture. A picture that has a name counts by it and its size, whether it is
    a file or inside one, any other by its content."""
    digest, encode, measures = hashlib.sha256(), json.JSONEncoder(sort_keys=True, default=str).encode, Measures()
    for sample in samples:
        pictures = [_picture(source, measures) for source in sample.images]
        row = [sample.id, sample.cluster, sample.prompt, pictures, plain(sample.truth)]
        row += [sample.choices] if sample.choices else []
        row += [sample.draw] if sample.draw else []
        digest.update(encode(row).encode())
    measures.keep()
    return digest.hexdigest()[:16]


_planned: ContextVar[dict[tuple[object, ...], Task] | None] = ContextVar("_planned", default=None)


@contextmanager
def data_read_once() -> Iterator[None]:
    """Within, all plans over the same data share what was read first: for commands that look at runs and change none."""
    token = _planned.set({})
    try:
        yield
    finally:
        _planned.reset(token)


def _task(name: str, protocol: str, settings: Settings, say: Callable[[str], None]) -> Task:
    folder = settings.source.folder(name, say, offline=settings.offline, protocol=protocol)
    asked = (name, folder, protocol, settings.prompt_style, settings.allow_missing, settings.limited.of(name), settings.repeats)
    planned = _planned.get()
    if planned is None:
        return _read(name, folder, protocol, settings, say)
    if asked not in planned:
        planned[asked] = _read(name, folder, protocol, settings, say)
    task = planned[asked]
    return replace(task, items=replace(cast(Items, task.items), run_seed=settings.seed))


def _read(name: str, folder: Path, protocol: str, settings: Settings, say: Callable[[str], None]) -> Task:
    benchmark = build(name, folder, protocol)
    if settings.prompt_style is not None:
        word(benchmark, settings.prompt_style)
    samples, lost = _at_hand(benchmark, settings.allow_missing)
    for line in benchmark.described() if isinstance(benchmark, DescribesData) else ():
        say(f"{name}: {line}")
    if not samples:
        raise UserError(f"{name}: its data hold nothing to ask; put whole files there, or use --data world")
    chosen = tuple(evenly(samples, settings.limited.of(name)))
    left_out = [sample for sample in chosen if sample.id in lost]
    if left_out:
        say(
            f"{name}: {len(left_out):,} of {len(chosen):,} questions are left out, the first ({left_out[0].id}) lacks its picture"
        )
    repeats = settings.repeats or benchmark.repeats
    items = Items(name, tuple(sample for sample in chosen if sample.id not in lost) if lost else chosen, repeats, settings.seed)
    if benchmark.kind == "generation":
        _refuse_shared_files(cast(GenerationBenchmark, benchmark), items)
    strange = unofficial(benchmark, protocol, settings.source, folder)
    return Task(benchmark, protocol, repeats, chosen, items, samples_digest(samples), len(left_out), strange)


def unofficial(benchmark: Benchmark, protocol: str, source: Source, folder: Path) -> str:
    """In what the questions in a folder of the user's are not the official ones; "" where nothing shows it, and for other data,
    which were checked or are set apart by themselves."""
    if source.kind != "folder" or source.world:
        return ""
    rows, known = benchmark.counted if isinstance(benchmark, KnowsReleases) else (0, ())
    if known and rows not in known:
        return f"{rows:,} where there are {' or '.join(f'{count:,}' for count in known)}"
    return differing(benchmark.name, protocol, folder) if len(known) < 2 else ""  # of several releases one is catalogued


def _refuse_shared_files(benchmark: GenerationBenchmark, items: Sequence[Item]) -> None:
    """Raises `UserError` where a layout gives two pictures one name, also for disks that know no capitals: one would be lost."""
    files = (_folded(benchmark.image_path(item.sample, item.repeat)) for item in items)
    if len(np.unique(np.fromiter(map(hash, files), np.int64, len(items)))) == len(items):
        return  # in a fraction of the memory that all names take
    owners: dict[str, int] = {}
    for place, item in enumerate(items):
        file = benchmark.image_path(item.sample, item.repeat)
        if (owner := owners.setdefault(_folded(file), place)) != place:
            first = items[owner]
            raise UserError(
                f"{benchmark.name}: picture {first.repeat} of {first.sample.id} and picture {item.repeat} of {item.sample.id}"
                f" would both be {file}; choose --repeats {benchmark.repeats} or fewer, or give the two prompts different words;"
                " a run that was made so has lost the first, and is made anew by suder-bench run --fresh with one of these"
            )


def _folded(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _at_hand(benchmark: Benchmark, allow_missing: int) -> tuple[list[Sample], set[str]]:
    """All samples, and the ids of those that lack their picture. Raises `UserError` for more than are allowed."""
    try:
        return benchmark.samples(), set()
    except MissingPictures as error:
        if not len(error.lost) <= allow_missing or len(error.lost) == len(error.samples):
            raise
        return list(error.samples), set(error.lost)


Value = TypeVar("Value")


def _spread(values: Sequence[Value], count: int) -> list[Value]:
    return [values[i * len(values) // count] for i in range(count)]


def _picture(source: ImageSource, measures: Measures) -> str:
    if isinstance(source, Embedded):
        if source.mark:
            return source.mark
        return f"{source.name}:{measures.size(source)}" if source.name else measures.sha256(source)
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    return f"{source.name}:{source.stat().st_size if source.is_file() else 'missing'}"
