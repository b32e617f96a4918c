"""Scoring pictures and answers made elsewhere, in a benchmark's official file layout; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from suder_bench.benchmark import Benchmark, GenerationBenchmark, UnderstandingBenchmark
from suder_bench.data.source import Source
from suder_bench.errors import UserError
from suder_bench.records import Answered, Response, Sample, Verdict, open_image
from suder_bench.runs import judges
from suder_bench.runs.batches import BatchSize
from suder_bench.runs.execute import Outcome
from suder_bench.runs.plan import build
from suder_bench.runs.recipe import versions
from suder_bench.runs.score import Scored, judge
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import picture_digest, text_digest
from suder_bench.runs.summary import SCHEMA, summarise


@dataclass(frozen=True)
class Elsewhere:
    """`responses` is a folder of pictures for a generation benchmark, a file of answers for an understanding one."""

    benchmark: str
    responses: Path
    source: Source
    protocol: str = "official"
    judges: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = "float32"
    offline: bool = False

    def score(self, screen: Screen) -> Outcome:
        """Score what is there; samples without any response are told and counted as skipped.

        Raises `UserError` for responses that do not fit the data, `JudgeError` for a judge that gets known answers wrong.
        """
        benchmark = build(self.benchmark, self.source.folder(self.benchmark, screen.say, offline=self.offline), self.protocol)
        chosen = judges.choose(benchmark.judge_roles, self.judges, world=self.source.world)
        answered = _found(benchmark, self.responses)
        samples = benchmark.samples()
        present = {one.sample.id for one in answered}
        absent = [sample.id for sample in samples if sample.id not in present]
        if not present:
            raise UserError(f"'{self.responses}' holds nothing in the layout of {self.benchmark}")
        if absent:
            screen.say(f"{self.benchmark}: {len(absent):,} of {len(samples):,} samples have no response, first {absent[0]}")
        panel = judges.seat(chosen, device=self.device, dtype=self.dtype, offline=self.offline)
        for error in panel.missing.values():
            screen.say(f"suder-bench: {error}")
        verdicts: dict[tuple[str, int], Verdict] = {}
        failed = len(answered)
        if not panel.missing:
            failed = len(judge(benchmark, answered, panel, keep=_into(verdicts), size=BatchSize(), screen=screen))
        rows = [(one.sample, verdicts[_key(one)]) for one in answered if _key(one) in verdicts]
        identity = {} if panel.missing else panel.identity(benchmark.judge_roles)
        counts = {"samples": len(samples), "skipped": len(absent), "failed": failed}
        scored = Scored(benchmark, self.protocol, rows, judges=identity, **counts)
        return Outcome(summarise(self._recipe(), [scored]), complete=not failed)

    def _recipe(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "run": self.responses.name,
            "suite": self.benchmark,
            "model": {"name": str(self.responses)},
            "data": {"source": self.source.kind, "size": self.source.size, "folder": self.source.path},
            "world": self.source.world,
            "versions": versions(),
        }


def _into(verdicts: dict[tuple[str, int], Verdict]) -> Callable[[Sequence[Verdict]], None]:
    return lambda batch: verdicts.update({(verdict.sample, verdict.repeat): verdict for verdict in batch})


def _found(benchmark: Benchmark, responses: Path) -> list[Answered]:
    if benchmark.kind == "understanding":
        if not responses.exists():
            raise UserError(f"no answers at '{responses}'")
        answers = cast(UnderstandingBenchmark, benchmark).read_answers(responses)
        return [_answer(benchmark.name, sample, text) for sample, text in answers]
    if not responses.is_dir():
        raise UserError(f"'{responses}' is not a folder of pictures")
    pictures = cast(GenerationBenchmark, benchmark).find_images(responses)
    files: dict[tuple[str, int], Path] = {}
    for sample, repeat, file in pictures:
        first = files.setdefault((sample.id, repeat), file)
        if first != file:
            raise UserError(f"{first} and {file} are both picture {repeat} of sample {sample.id}; remove one")
    return [_picture(benchmark.name, sample, repeat, file) for sample, repeat, file in pictures]


def _answer(benchmark: str, sample: Sample, text: str) -> Answered:
    return Answered(sample, Response(benchmark, sample.id, repeat=0, seed=0, digest=text_digest(text), text=text))


def _picture(benchmark: str, sample: Sample, repeat: int, file: Path) -> Answered:
    try:
        digest = picture_digest(open_image(file))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{file} is not a readable picture ({error})") from None
    return Answered(sample, Response(benchmark, sample.id, repeat, seed=0, digest=digest, image=str(file)), source=file)


def _key(one: Answered) -> tuple[str, int]:
    return one.sample.id, one.response.repeat
