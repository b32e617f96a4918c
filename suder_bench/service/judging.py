"""A benchmark with its judges, which gives a row for each picture it is asked about: what a worker does.

Pictures are decoded, batches halved and split, and verdicts taken through their stored form by the code that `score` uses, so
that the numbers are those that `score` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from suder_bench.benchmark import AsksInTraining, Benchmark, JudgesOtherPrompts
from suder_bench.data.source import Source
from suder_bench.errors import PictureError, UserError
from suder_bench.machine import choose_device
from suder_bench.records import Answered, Response, Sample, Verdict
from suder_bench.remote.words import one_line
from suder_bench.rewards.evaluator import number_of
from suder_bench.runs import judges
from suder_bench.runs.batches import BatchSize, tell, work
from suder_bench.runs.jsonl import Row, plain
from suder_bench.runs.judges import Panel
from suder_bench.runs.judging import verdicts_of
from suder_bench.runs.pictures import decoded
from suder_bench.runs.plan import Task, build, samples_digest
from suder_bench.runs.roles import can_judge, roles_of
from suder_bench.runs.score import filed_under
from suder_bench.runs.screen import Bar, Screen
from suder_bench.service.asked import Asked, FaultError
from suder_bench.service.setting import Setting
from suder_bench.world import train_split

Prepared = Future[Answered | PictureError] | Row
"""A picture on its way out of its file, or a row at once: what is wrong, or that this could be judged."""


class Judging:
    """`offered` is what a client may know of it; `fingerprint` there changes with judges, data, protocol and code."""

    def __init__(self, benchmark: Benchmark, protocol: str, panel: Panel, screen: Screen, trained: Sequence[Sample] = ()) -> None:
        """`trained` are samples that are found by their prompt, besides the benchmark's own."""
        samples = benchmark.samples()
        identity = panel.identity(role for role in benchmark.judge_roles if role in panel.judges)
        task = Task(benchmark, protocol, benchmark.repeats, (), (), samples_digest(samples))
        self.offered: dict[str, Any] = {
            "name": benchmark.name,
            "protocol": protocol,
            "judges": identity,
            "missing": list(panel.missing),
            "fingerprint": filed_under(task, identity),
            "prompts": len(samples),
            "metadata": isinstance(benchmark, JudgesOtherPrompts),
        }
        self._benchmark, self._panel = benchmark, panel
        self._by_id = {sample.id: sample for sample in samples}
        self._by_prompt: dict[str, Sample] = {}
        for sample in (*samples, *trained):
            self._by_prompt.setdefault(sample.prompt.strip(), sample)
        roles = benchmark.judge_roles
        self._size, self._screen = BatchSize(panel.at_once(roles)) if panel.paid(roles) else BatchSize(), screen

    @classmethod
    def load(cls, setting: Setting, screen: Screen) -> list[Self]:
        """Those of a setting, in its order.

        Raises `UserError` for missing files and a judge that nobody asks, `JudgeError` for one that gets known answers wrong,
        and a group of them where so many are missing that nothing can be judged.
        """
        built = [_built(name, setting, screen) for name in setting.benchmarks]
        roles = list(dict.fromkeys(role for benchmark in built for role in benchmark.judge_roles))
        judges.check_overrides(roles, setting.judges, setting.terms.arguments)
        return [cls._seated(benchmark, setting, screen) for benchmark in built]

    @classmethod
    def _seated(cls, benchmark: Benchmark, setting: Setting, screen: Screen) -> Self:
        roles = set(benchmark.judge_roles)
        own = {role: backend for role, backend in setting.judges.items() if role in roles}
        terms = setting.terms.only(roles)
        panel = judges.seat(
            judges.choose(benchmark.judge_roles, own, world=setting.source.world, arguments=terms.arguments),
            device=choose_device(setting.device),
            dtype=setting.dtype,
            offline=setting.offline,
            known_answers=setting.known_answers,
            terms=terms,
            say=lambda line: screen.say(f"suder-bench: {line}"),
        )
        if not any(can_judge(benchmark, sample, panel.judges) for sample in benchmark.samples()):
            raise ExceptionGroup("missing judges", list(panel.missing.values()))
        for error in panel.missing.values():
            screen.say(f"suder-bench: {error}; what needs this judge is not judged")
        return cls(benchmark, setting.protocol, panel, screen, _trained(benchmark, setting.source))

    def prepare(self, asked: Asked, place: int, threads: Executor) -> Prepared:
        """`place` tells the items of a batch apart."""
        try:
            sample = self._sample(asked)
        except UserError as error:
            return FaultError("unknown_prompt", str(error)).row
        if lacking := [role for role in roles_of(self._benchmark, sample) if role in self._panel.missing]:
            return FaultError("missing_judge", f"'{asked.prompt}' needs the judge {lacking[0]}, which is not here").row
        if not asked.picture:
            return {"sample": sample.id}
        response = Response(self._benchmark.name, sample.id, place, seed=0, digest="")
        return threads.submit(decoded, Answered(sample, response, asked.picture))

    def rows(self, prepared: Sequence[Prepared]) -> list[Row]:
        """A row of JSON values for each item, with its verdict or its `error`."""
        found = [one if isinstance(one, dict) else one.result() for one in prepared]
        rows = {i: one for i, one in enumerate(found) if isinstance(one, dict)}
        rows |= {i: _unreadable(one) for i, one in enumerate(found) if isinstance(one, PictureError)}
        readable = {i: one for i, one in enumerate(found) if isinstance(one, Answered)}
        places = list(readable)
        verdicts: list[Verdict] = []

        def do(batch: Sequence[int]) -> list[Verdict]:
            return verdicts_of(self._benchmark, [readable[i] for i in batch], self._panel)

        bar = Bar(self._benchmark.name, len(places), self._screen)
        failures = work(places, do, verdicts.extend, size=self._size, bar=bar)
        tell(failures, lambda i: f"{self._benchmark.name} score of '{one_line(readable[i].sample.prompt)}'", self._screen)
        rows |= {failure.item: _failed(failure.error) for failure in failures}
        by_place = {verdict.repeat: verdict for verdict in verdicts}
        rows |= {i: _row(by_place[one.response.repeat]) for i, one in readable.items() if one.response.repeat in by_place}
        return [rows[i] for i in range(len(prepared))]

    def _sample(self, asked: Asked) -> Sample:
        """Raises `UserError` for what nobody here can judge."""
        if asked.sample is not None:
            if asked.sample not in self._by_id:
                raise UserError(f"{self._benchmark.name} has no sample '{asked.sample}'")
            return self._by_id[asked.sample]
        prompt = asked.prompt or ""
        if isinstance(self._benchmark, JudgesOtherPrompts) and (other := self._benchmark.sample_of(prompt, asked.metadata)):
            return other
        if prompt.strip() not in self._by_prompt:
            way = "send the metadata that say what it asks for" if self.offered["metadata"] else "send one of its own"
            raise UserError(f"{self._benchmark.name} does not know the prompt '{prompt}'; {way}")
        return self._by_prompt[prompt.strip()]


def _built(name: str, setting: Setting, screen: Screen) -> Benchmark:
    folder = setting.source.folder(name, screen.say, offline=setting.offline, protocol=setting.protocol)
    return build(name, folder, setting.protocol)


def _trained(benchmark: Benchmark, source: Source) -> list[Sample]:
    """The prompts to train on, as far as they are here."""
    if source.kind == "world" and benchmark.name == "geneval":
        with TemporaryDirectory() as folder:
            train_split.write_geneval(Path(folder))
            return build(benchmark.name, Path(folder), "official").samples()
    try:
        return benchmark.training_samples() if isinstance(benchmark, AsksInTraining) else []
    except UserError:  # their files are not needed for others
        return []


def _row(verdict: Verdict) -> Row:
    row: Row = plain(
        {
            "score": number_of(verdict),
            "correct": verdict.correct,
            "reason": verdict.reason,
            "scores": verdict.scores,
            "details": verdict.details,
            "sample": verdict.sample,
        }
    )
    return row


def _unreadable(error: PictureError) -> Row:
    return FaultError("invalid_picture", str(error)).row


def _failed(error: Exception) -> Row:
    told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return FaultError("not_judged", told).row
