"""A generation benchmark's own verdict as a reward: `evaluator:geneval`, `evaluator:t2i-compbench`."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from PIL import Image

from suder_bench import registry
from suder_bench.benchmark import AsksInTraining, Benchmark
from suder_bench.data.source import Source
from suder_bench.errors import UserError, unknown
from suder_bench.records import Response, Sample, Verdict
from suder_bench.runs import judges
from suder_bench.runs.pictures import Decoded
from suder_bench.runs.plan import OFFICIAL, build
from suder_bench.runs.roles import needed
from suder_bench.terms import USUAL, Terms
from suder_bench.world import train_split

PREFIX = "evaluator:"
NUMBERS = ("score", "correct")
"""What a verdict's number is called."""


class EvaluatorReward:
    """The number of a benchmark's verdict on a picture, which only a prompt has that the benchmark knows.

    A prompt that stands in several places is judged as in the first.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        seats: Mapping[str, Any],
        *,
        samples: Sequence[Sample] | None = None,
        batch_size: int = 32,
    ):
        """`seats` are the judges by role; `batch_size` bounds their memory. `samples` hold the prompts that are known: by
        default those to train on, and where the benchmark has none apart, all of its data folder's."""
        self.name = f"{PREFIX}{benchmark.name}"
        if samples is None:
            samples = _to_train_on(benchmark)
        self._benchmark, self._seats, self._batch_size = benchmark, seats, batch_size
        self._asked: dict[str, Sample] = {}
        for sample in samples:
            self._asked.setdefault(sample.prompt.strip(), sample)

    @classmethod
    def load(
        cls,
        name: str,
        *,
        world: bool,
        data: Path | None,
        backends: Mapping[str, str],
        batch_size: int,
        offline: bool,
        say: Callable[[str], None],
        device: str = "auto",
        prompts: Collection[str] | None = None,
    ) -> Self:
        """The reward of benchmark `name` over `data`, by default its training split in the world or its official files.

        `backends` are judges by role instead of the usual ones; with `prompts` only those that these need are loaded. Raises
        `UserError` for what is no generation benchmark, missing files, and a missing judge.
        """
        check_name(name)
        of_world = world if data is None else Source("folder", path=data).world
        with _folder(name, world=world, data=data, offline=offline, say=say) as folder:
            benchmark = build(name, folder, OFFICIAL)
            samples = _of(_to_train_on(benchmark), prompts)
            seats = _seats(benchmark, samples, backends, world=of_world, offline=offline, device=device, say=say)
            return cls(benchmark, seats, samples=samples, batch_size=batch_size)

    @classmethod
    def of_tests(
        cls,
        name: str,
        source: Source,
        *,
        backends: Mapping[str, str],
        offline: bool,
        say: Callable[[str], None],
        terms: Terms = USUAL,
        prompts: Collection[str] | None = None,
    ) -> Self:
        """The reward of benchmark `name` for the prompts that it tests with, which are not to be trained on; raises as `load`."""
        check_name(name)
        benchmark = build(name, source.folder(name, say, offline=offline), OFFICIAL)
        samples = _of(benchmark.samples(), prompts)
        seats = _seats(benchmark, samples, backends, world=source.world, offline=offline, say=say, terms=terms)
        return cls(benchmark, seats, samples=samples)

    def check(self, prompts: Sequence[str]) -> None:
        """Raises `UserError` naming the first prompt that the benchmark cannot judge, and what to do."""
        for prompt in prompts:
            if prompt.strip() not in self._asked:
                raise UserError(
                    f"reward '{self.name}' does not know the prompt '{prompt}': {self._benchmark.name} judges only what its files"
                    f" ask; take its own prompts, give files that hold this one, or choose another reward"
                )

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        """The verdict's number for each picture, in [0, 1]. Raises `UserError` for a prompt that the benchmark does not ask."""
        self.check(prompts)
        answered = [
            Decoded(sample, Response(self._benchmark.name, sample.id, repeat, 0, ""), picture=picture)
            for repeat, (sample, picture) in enumerate(
                zip((self._asked[prompt.strip()] for prompt in prompts), pictures, strict=True)
            )
        ]
        scores: list[float] = []
        for i in range(0, len(answered), self._batch_size):
            found = self._benchmark.verdicts(answered[i : i + self._batch_size], self._seats)
            scores += [self._number(verdict) for verdict in found]
        return scores

    def _number(self, verdict: Verdict) -> float:
        number = number_of(verdict)
        if number is None:
            held = ", ".join(verdict.scores) or "no number"
            raise UserError(f"reward '{self.name}': a verdict holds {held}, none of {', '.join(NUMBERS)}, and no right or wrong")
        return number


def number_of(verdict: Verdict) -> float | None:
    """What a verdict says of its one picture; right or wrong as 1 or 0 where it has no other number, None where it has none, as
    of a judge's reply that could not be read."""
    correct = None if verdict.correct is None else float(verdict.correct)
    number = next((float(verdict.scores[name]) for name in NUMBERS if name in verdict.scores), correct)
    return None if number is None or math.isnan(number) else number


def generation_benchmarks() -> list[str]:
    """The benchmarks whose verdicts are about pictures."""
    return [name for name in registry.table("benchmarks") if registry.load("benchmarks", name).kind == "generation"]


def check_name(name: str) -> None:
    """Raises `UserError` for what is no generation benchmark."""
    choices = generation_benchmarks()
    if name not in choices:
        raise unknown("reward", f"{PREFIX}{name}", [f"{PREFIX}{choice}" for choice in choices])


def _to_train_on(benchmark: Benchmark) -> list[Sample]:
    return benchmark.training_samples() if isinstance(benchmark, AsksInTraining) else benchmark.samples()


def _of(samples: Sequence[Sample], prompts: Collection[str] | None) -> list[Sample]:
    """The samples with these prompts; all for None."""
    asked = None if prompts is None else {prompt.strip() for prompt in prompts}
    return [sample for sample in samples if asked is None or sample.prompt.strip() in asked]


def _seats(
    benchmark: Benchmark,
    samples: Sequence[Sample],
    backends: Mapping[str, str],
    *,
    world: bool,
    offline: bool,
    say: Callable[[str], None],
    device: str = "auto",
    terms: Terms = USUAL,
) -> Mapping[str, Any]:
    """The judges that the samples need, by role. Raises `JudgeError` for a missing one."""
    mine = {role: backend for role, backend in backends.items() if role in benchmark.judge_roles}
    chosen = judges.choose(benchmark.judge_roles, mine, world=world, needed=needed(benchmark, samples))
    panel = judges.seat(chosen, device=device, dtype="auto", offline=offline, terms=terms, say=say)
    for missing in panel.missing.values():
        raise missing
    return panel.judges


@contextmanager
def _folder(name: str, *, world: bool, data: Path | None, offline: bool, say: Callable[[str], None]) -> Iterator[Path]:
    """The data folder of a benchmark's training prompts; the world's GenEval is written anew, and gone when it has been read."""
    if data is not None:
        yield data
    elif world and name == "geneval":
        with TemporaryDirectory() as folder:
            train_split.write_geneval(Path(folder))
            yield Path(folder)
    else:
        source = Source("world", size="full") if world else Source("official")
        yield source.folder(name, say, offline=offline)
