"""Scoring pictures and answers made elsewhere, in a benchmark's official file layout; nothing is written but what judges behind
an address reply, into the cache."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from suder_bench.benchmark import (
    Benchmark,
    DescribesData,
    GenerationBenchmark,
    KnowsRewriting,
    ListsQuestions,
    NamesStrangers,
    RemarksOnAnswers,
    TakesAPart,
    UnderstandingBenchmark,
)
from suder_bench.data.source import Source, cache
from suder_bench.errors import MissingAnswers, UserError
from suder_bench.models.folder import benchmarks_own
from suder_bench.records import Answered, Response, Sample, Stranger, Verdict
from suder_bench.remote.books import Books
from suder_bench.runs import deviations, judges
from suder_bench.runs.batches import BatchSize
from suder_bench.runs.encoding import text_digest
from suder_bench.runs.execute import Outcome
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.plan import build, samples_digest, unofficial
from suder_bench.runs.recipe import origin_of, versions
from suder_bench.runs.roles import Unjudged, can_judge, needed
from suder_bench.runs.score import Judged, Scored, judge
from suder_bench.runs.screen import Screen
from suder_bench.runs.summary import SCHEMA, summarise
from suder_bench.terms import USUAL, Terms


@dataclass(frozen=True)
class Elsewhere:
    """`responses` is a folder of pictures for a generation benchmark, a file of answers for an understanding one.

    `device` and `dtype` are the judges'. Of the answers to all questions `allow_missing` may be missing, at most.
    """

    benchmark: str
    responses: Path
    source: Source
    protocol: str = "official"
    judges: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = "auto"
    offline: bool = False
    known_answers: bool = True
    allow_missing: int = 0
    terms: Terms = USUAL

    def score(self, screen: Screen) -> Outcome:
        """Score what is there.

        Responses that are not there, pictures that cannot be read and pictures of no sample are told and counted as skipped,
        and rewritten prompts are told.
        Raises `UserError` for responses that do not fit the data, `JudgeError` for a judge that gets known answers wrong.
        """
        data = self.source.folder(self.benchmark, screen.say, offline=self.offline, protocol=self.protocol)
        benchmark = build(self.benchmark, data, self.protocol)
        judges.check_overrides(benchmark.judge_roles, self.judges, self.terms.arguments)
        place = self._place if benchmark.kind == "generation" else self.responses
        found = _found(benchmark, place, self.allow_missing)
        answered = found.answered
        samples = _listed(benchmark, answered)
        if not answered:
            raise UserError(f"'{self.responses}' holds nothing in the layout of {self.benchmark}")
        for line in deviations.told(self.benchmark, [one.sample for one in answered], found.rewritten):
            screen.say(line)
        strange = [deviations.skipped(self.benchmark, stranger) for stranger in found.strangers]
        for lines, what in ((strange, "pictures that are not read"), (_surplus(benchmark, answered), "pictures too many")):
            screen.say_some(lines, what)
        if isinstance(benchmark, DescribesData):
            for line in benchmark.described():
                screen.say(f"{self.benchmark}: {line}")
        if isinstance(benchmark, RemarksOnAnswers):
            for remark in benchmark.remarks(self.responses):
                screen.say(f"{self.benchmark}: {remark}")
        missing = self._missing(benchmark, samples, found, screen)
        responded = [one.sample for one in answered]
        panel = judges.seat(
            judges.choose(
                benchmark.judge_roles,
                self.judges,
                world=self.source.world,
                arguments=self.terms.arguments,
                needed=needed(benchmark, responded),
            ),
            device=self.device,
            dtype=self.dtype,
            offline=self.offline,
            known_answers=self.known_answers,
            terms=self.terms,
            say=lambda line: screen.say(f"suder-bench: {line}"),
            books=self._books,
        )
        for error in panel.missing.values():
            screen.say(f"suder-bench: {error}")
        verdicts: dict[tuple[str, int], Verdict] = {}
        able = [one for one in answered if can_judge(benchmark, one.sample, panel.judges)]
        judged = judge(benchmark, able, panel, keep=_into(verdicts), size=BatchSize(), screen=screen) if able else Judged(0, 0)
        rows = [(one.sample, verdicts[_key(one)]) for one in answered if _key(one) in verdicts]
        unjudged = Unjudged.among(benchmark, responded, panel.judges)
        if unjudged is not None:
            screen.say(f"{self.benchmark}: {unjudged}")
        failed = judged.failed + len(answered) - len(able)
        identity = panel.identity(panel.judges) if able else {}
        skipped = missing + judged.unread
        scored = Scored(benchmark, self.protocol, rows, identity, samples, skipped=skipped, failed=failed, unjudged=unjudged)
        other = unofficial(benchmark, self.protocol, self.source, data)
        noted = deviations.noted(rewritten=found.rewritten, left_out=found.left_out, unofficial=other) | origin_of(benchmark)
        return Outcome(summarise(self._recipe(samples, noted), [scored], panel.books.totals()), complete=not failed)

    @property
    def _place(self) -> Path:
        """The pictures of a benchmark may lie in a folder of several benchmarks', as those of `folder:DIR`."""
        return benchmarks_own(self.responses, self.benchmark)

    @property
    def _books(self) -> Books:
        """Of all commands that score these responses."""
        scored = json.dumps([self.benchmark, self.protocol, str(self.responses.resolve())])
        place = cache() / "replies" / hashlib.sha256(scored.encode()).hexdigest()[:16]
        return Books(Ledger(place), self.terms.budget, self.terms.prices, must_keep=False)

    def _missing(self, benchmark: Benchmark, samples: Sequence[Sample], found: Found, screen: Screen) -> int:
        """Tell how many responses are not there; as many are due to a sample as most have, and never more than official.

        A picture that is there but not read has been told, and is counted once: here.
        """
        counts = Counter(one.sample.id for one in found.answered)
        unread = Counter(stranger.sample.id for stranger in found.strangers if stranger.sample is not None)
        due = min(max(counts.values()), benchmark.repeats)
        absent = [sample for sample in samples if not counts[sample.id]]
        if absent:
            first = f"{absent[0].id}{self._where(benchmark, absent[0])}"
            screen.say(f"{self.benchmark}: {len(absent):,} of {len(samples):,} samples have no response, first {first}")
        own = {one.source for one in found.answered}
        lines = []
        for sample in [sample for sample in samples if 0 < counts[sample.id] < due - unread[sample.id]]:
            files = [self._place / cast(GenerationBenchmark, benchmark).image_path(sample, repeat) for repeat in range(due)]
            file = next((file for file in files if not file.exists()), files[-1])
            # Pictures numbered in another way do not tell which of them is missing.
            what = f"{file} is missing" if own & set(files) else f"{file.parent} lacks a picture"
            lines.append(f"skipped: {self.benchmark}: {what} ({counts[sample.id]} of {due} pictures of {sample.id})")
        screen.say_some(lines, "samples with too few pictures")
        nobodys = sum(stranger.sample is None for stranger in found.strangers)
        return nobodys + sum(max(unread[sample.id], due - counts[sample.id], 0) for sample in samples)

    def _where(self, benchmark: Benchmark, sample: Sample) -> str:
        if benchmark.kind == "understanding":
            return ""
        return f" ({self._place / cast(GenerationBenchmark, benchmark).image_path(sample, 0)})"

    def _recipe(self, samples: Sequence[Sample], noted: Mapping[str, Any]) -> dict[str, Any]:
        planned = {"protocol": self.protocol, "samples": len(samples), "data": samples_digest(samples), **noted}
        return {
            "schema": SCHEMA,
            "run": self.responses.name,
            "suite": self.benchmark,
            "benchmarks": {self.benchmark: planned},
            "model": {"name": str(self.responses)},
            "data": {"source": self.source.kind, "size": self.source.size, "folder": self.source.path},
            "world": self.source.world,
            "judge_choice": dict(self.judges),
            "judge_device": self.device,
            "judge_dtype": self.dtype,
            "judge_args": {role: dict(given) for role, given in self.terms.arguments.items()},
            "versions": versions(),
        }


def _listed(benchmark: Benchmark, answered: Sequence[Answered]) -> Sequence[Sample]:
    """What there was to respond to. Answers in another harness' numbering stand for themselves."""
    given = {one.sample.id for one in answered}
    if isinstance(benchmark, TakesAPart):
        return benchmark.asked(given)
    samples = benchmark.questions if isinstance(benchmark, ListsQuestions) else benchmark.samples()
    return samples if any(sample.id in given for sample in samples) else [one.sample for one in answered]


def _into(verdicts: dict[tuple[str, int], Verdict]) -> Callable[[Sequence[Verdict]], None]:
    return lambda batch: verdicts.update({(verdict.sample, verdict.repeat): verdict for verdict in batch})


@dataclass(frozen=True)
class Found:
    """The responses; pictures that are not scored; prompts that were rewritten, by sample; and how many answers are missing."""

    answered: list[Answered]
    strangers: Sequence[Stranger] = ()
    rewritten: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0


def _found(benchmark: Benchmark, responses: Path, allow_missing: int) -> Found:
    if benchmark.kind == "understanding":
        if not responses.exists():
            raise UserError(f"no answers at '{responses}'")
        answers, left_out = _answers(cast(UnderstandingBenchmark, benchmark), responses, allow_missing)
        return Found([_answer(benchmark.name, sample, text) for sample, text in answers], left_out=left_out)
    if not responses.is_dir():
        raise UserError(f"'{responses}' is not a folder of pictures")
    pictures = cast(GenerationBenchmark, benchmark).find_images(responses)
    files: dict[tuple[str, int], Path] = {}
    for sample, repeat, file in pictures:
        first = files.setdefault((sample.id, repeat), file)
        if first != file:
            raise UserError(f"{first} and {file} are both picture {repeat} of sample {sample.id}; number one of them on")
    return Found(
        [_picture(benchmark.name, sample, repeat, file) for sample, repeat, file in pictures],
        benchmark.strangers(responses) if isinstance(benchmark, NamesStrangers) else (),
        benchmark.rewritten(responses) if isinstance(benchmark, KnowsRewriting) else {},
    )


def _answers(benchmark: UnderstandingBenchmark, file: Path, allow_missing: int) -> tuple[list[tuple[Sample, str]], int]:
    """The answers of a file, and how many are missing, which may be `allow_missing` at most."""
    try:
        return benchmark.read_answers(file), 0
    except MissingAnswers as error:
        if not 0 < error.missing <= allow_missing:
            raise
        return list(error.found), error.missing


def _surplus(benchmark: Benchmark, answered: Sequence[Answered]) -> list[str]:
    """A line for each picture beyond the official number; the official scripts count them, and so does this."""
    return [
        f"{benchmark.name}: {one.response.image} is picture {one.response.repeat + 1} of {one.sample.id}, which has"
        f" {benchmark.repeats} officially; it counts too"
        for one in answered
        if one.response.repeat >= benchmark.repeats
    ]


def _answer(benchmark: str, sample: Sample, text: str) -> Answered:
    return Answered(sample, Response(benchmark, sample.id, repeat=0, seed=0, digest=text_digest(text), text=text))


def _picture(benchmark: str, sample: Sample, repeat: int, file: Path) -> Answered:
    """Its digest is taken when it is decoded."""
    return Answered(sample, Response(benchmark, sample.id, repeat, seed=0, digest="", image=str(file)), source=file)


def _key(one: Answered) -> tuple[str, int]:
    return one.sample.id, one.response.repeat
