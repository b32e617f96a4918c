"""What workers in other processes are to hold, as it is sent to them, and what they show for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from suder_bench.benchmark import Benchmark, Kind
from suder_bench.errors import UserError
from suder_bench.machine import keep_freed_memory
from suder_bench.models.protocols import ImageSampling, Model, StoredPictures, TellsItsParts, TextSampling
from suder_bench.models.reference import ModelReference
from suder_bench.records import Sample
from suder_bench.runs import judges, provenance
from suder_bench.runs.batches import AUTO, BatchSize
from suder_bench.runs.judging import Jury
from suder_bench.runs.making import Maker
from suder_bench.runs.plan import Settings, Task
from suder_bench.runs.recipe import Introduction, versions
from suder_bench.runs.respond import check_able, cut_prompts, rewritten_prompts
from suder_bench.runs.workers.protocol import Card
from suder_bench.terms import Terms


def introduce(model: Model, tasks: Sequence[Task]) -> Introduction:
    return Introduction(
        model.fingerprint,
        dict(model.settings),
        dict(model.parts) if isinstance(model, TellsItsParts) else {},
        {task.name: cut_prompts(task, model) for task in tasks},
        {task.name: rewritten_prompts(task, model) for task in tasks},
    )


@dataclass(frozen=True)
class ModelDuty:
    """Hold a model, and respond with it to these tasks; `load` replaces the registered adapter, and goes by pickle too."""

    model: ModelReference
    device: str
    dtype: str
    tasks: tuple[Task, ...]
    image: ImageSampling
    text: TextSampling
    batch: int
    load: Callable[[], Model] | None = None

    @classmethod
    def of(
        cls, model: ModelReference, settings: Settings, tasks: Sequence[Task], batch: int, load: Callable[[], Model] | None
    ) -> ModelDuty:
        outlines = tuple(map(_outline, tasks))
        return cls(model, settings.device, settings.dtype, outlines, settings.image, settings.text, batch, load)

    def begin(self) -> Maker:
        """Raises `UserError` for a model that cannot be loaded here, or cannot do what is asked."""
        if self.device == "cpu":
            keep_freed_memory()
        model = self.load() if self.load is not None else self.model.load(device=self.device, dtype=self.dtype)
        if isinstance(model, StoredPictures):
            raise UserError(f"model '{model.name}' holds pictures made elsewhere, which need no workers; leave out --workers")
        check_able(model, self.tasks, self.image)
        card = _card(self.device, self.dtype, introduce(model, self.tasks))
        return Maker(model, self.image, self.text, BatchSize(self.batch), card)


@dataclass(frozen=True)
class Seats:
    """Which judges are seated, by role; those that are missing, and why; and the roles of judges behind an address, which are the
    driver's to ask."""

    present: Mapping[str, judges.SeatedElsewhere]
    missing: Mapping[str, str]
    paid: tuple[str, ...]


@dataclass(frozen=True)
class JudgesDuty:
    """Hold judges, each of which knows its known answers, and judge responses to these benchmarks."""

    chosen: Mapping[str, str]
    device: str
    dtype: str
    offline: bool
    known_answers: bool
    terms: Terms
    benchmarks: Mapping[str, Benchmark]

    @classmethod
    def of(cls, settings: Settings, chosen: Mapping[str, str], tasks: Sequence[Task]) -> JudgesDuty:
        return cls(
            dict(chosen),
            settings.judge_device,
            settings.judge_dtype,
            settings.offline,
            settings.known_answers,
            settings.terms,
            {task.name: task.benchmark for task in tasks},
        )

    def begin(self) -> Jury:
        """Raises `JudgeError` for a judge that fails its known answers."""
        given = {"device": self.device, "dtype": self.dtype, "offline": self.offline, "known_answers": self.known_answers}
        panel = judges.load(self.chosen, terms=self.terms, **given)  # type: ignore[arg-type]
        paid = tuple(role for role in panel.judges if panel.paid([role]))
        panel = judges.ask(panel, self.chosen, [role for role in panel.judges if role not in paid])
        present = {role: judges.SeatedElsewhere.of(judge) for role, judge in panel.judges.items()}
        seats = Seats(present, {role: str(error) for role, error in panel.missing.items()}, paid)
        card = _card(self.device, self.dtype, seats)
        return Jury(panel, self.benchmarks, BatchSize(AUTO), card, threads=1)


@dataclass(frozen=True)
class _Outline:
    """As much of a benchmark as tells what a model must be able to do."""

    name: str
    kind: Kind


def _outline(task: Task) -> Task:
    """A task without its pictures and ground truth, which may be large."""
    samples = tuple(
        Sample(one.id, one.cluster, one.prompt, (b"",) * len(one.images), choices=one.choices, draw=one.draw)
        for one in task.samples
    )
    benchmark = cast(Benchmark, _Outline(task.name, task.benchmark.kind))
    return replace(task, benchmark=benchmark, samples=samples, items=())


def _card(device: str, dtype: str, holds: object) -> Card:
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None:
        device = f"{device} ({torch.cuda.get_device_name(device)})"
    return Card(provenance.kind(), device, dtype, versions(), holds)
