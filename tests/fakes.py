"""Fakes that make a run in milliseconds: two benchmarks, their judge, and models that are right, wrong or troublesome.

A drawing is right when it has the shade of grey that its prompt names; an answer is right when it names the picture's shade.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from suder_bench import registry
from suder_bench.benchmark import Kind
from suder_bench.data.source import Source
from suder_bench.errors import JudgeError, UserError
from suder_bench.models.protocols import GeneratedImage, ImageSampling, TextSampling
from suder_bench.models.reference import ModelReference
from suder_bench.records import Answered, Sample, Statistic, Verdict
from suder_bench.runs.plan import Settings

SIDE = 4
MARKER = "shades.txt"


class Drawing:
    """Twelve prompts in three categories; two pictures each. Reads its shades from `shades.txt` if the data hold one."""

    name = "drawing"
    kind: Kind = "generation"
    repeats = 2
    headline = "overall"
    paper_metrics: tuple[str, ...] = ("overall",)
    judge_roles: tuple[str, ...] = ("shade",)
    protocols: tuple[str, ...] = ("official", "strict")

    def __init__(self, data: Path, protocol: str = "official") -> None:
        file = data / MARKER
        if data.name == "empty":
            raise UserError(f"no {self.name}/{MARKER} in {data}")
        self.shades = [int(line) for line in file.read_text().split()] if file.is_file() else [20 * i for i in range(12)]

    def samples(self) -> list[Sample]:
        return [
            Sample(f"{i:03d}", f"{i:03d}", f"shade {shade}", truth={"shade": shade, "category": "abc"[i * 3 // len(self.shades)]})
            for i, shade in enumerate(self.shades)
        ]

    def image_path(self, sample: Sample, repeat: int) -> str:
        return f"{sample.id}/samples/{repeat:05d}.png"

    def sidecars(self, sample: Sample) -> Mapping[str, str]:
        return {f"{sample.id}/prompt.txt": sample.prompt}

    def find_images(self, folder: Path) -> list[tuple[Sample, int, Path]]:
        return [
            (sample, int(file.stem), file)
            for sample in self.samples()
            for file in sorted((folder / sample.id / "samples").glob("*.png"))
        ]

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        found = judges["shade"].shades([one.open_image() for one in answered])
        for one, shade in zip(answered, found, strict=True):
            yield verdict(self.name, one, shade == one.sample.truth["shade"], f"shade {shade}")

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        correct = np.array([row.scores["correct"] for _, row in rows])
        categories = np.array([sample.truth["category"] for sample, _ in rows])
        found = {name: share(correct, categories == name) for name in "abc"}
        return {"overall": share(correct, np.ones(len(rows), dtype=bool)), **found}


class Reading:
    """Eight questions about the shade of a picture, two per picture."""

    name = "reading"
    kind: Kind = "understanding"
    repeats = 1
    headline = "accuracy"
    paper_metrics: tuple[str, ...] = ("accuracy",)
    judge_roles: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("official",)

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self.pictures = [encoded(10 * i) for i in range(4)]

    def samples(self) -> list[Sample]:
        return [
            Sample(f"q{i}", f"picture {i // 2}", f"which shade? ({i % 2})", (self.pictures[i // 2],), {"shade": 10 * (i // 2)})
            for i in range(8)
        ]

    def read_answers(self, file: Path) -> list[tuple[Sample, str]]:
        samples = {sample.id: sample for sample in self.samples()}
        return [(samples[name], text) for name, _, text in (line.partition(" ") for line in file.read_text().splitlines())]

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        for one in answered:
            yield verdict(self.name, one, one.text == str(one.sample.truth["shade"]), f"said {one.text}")

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        correct = np.array([row.scores["correct"] for _, row in rows])
        return {"accuracy": share(correct, np.ones(len(rows), dtype=bool))}


class ShadeJudge:
    """Reads the shade of a flat picture."""

    backend = "fake"
    exact = True
    fingerprint = "shade 1"

    @classmethod
    def load(cls, *, device: str, dtype: str, offline: bool) -> ShadeJudge:
        return cls()

    def check(self) -> None:
        if self.shades([Image.new("RGB", (SIDE, SIDE), (7, 7, 7))]) != [7]:
            raise JudgeError("shade judge: expected 7 on a picture of shade 7; the weights do not fit")

    def shades(self, pictures: Sequence[Image.Image]) -> list[int]:
        return [int(np.asarray(picture)[0, 0, 0]) for picture in pictures]


class OtherShadeJudge(ShadeJudge):
    """Sees every picture as black, which its known answers do not find out."""

    backend = "black"
    exact = False
    fingerprint = "black 1"

    def check(self) -> None:
        pass

    def shades(self, pictures: Sequence[Image.Image]) -> list[int]:
        return [0] * len(pictures)


class WrongShadeJudge(ShadeJudge):
    """Weights that do not fit."""

    backend = "wrong"
    fingerprint = "wrong 1"

    def shades(self, pictures: Sequence[Image.Image]) -> list[int]:
        return [99] * len(pictures)


def missing_judge(role: str, *, device: str, dtype: str, offline: bool, source: str | None) -> ShadeJudge:
    raise JudgeError(f"judge {role}=missing has no weights; get them from {source or 'nowhere'}")


@dataclass
class FakeModel:
    """Draws and answers rightly, or with `right` false always wrongly; pictures carry their seed in the second pixel.

    `largest` is the batch that still fits in memory, `bad` names prompts it breaks on, `interrupt_after` the batch in
    which ctrl-C comes, `seconds` how long a response takes. `batches` records what was asked.
    """

    right: bool = True
    largest: int = 1000
    bad: tuple[str, ...] = ()
    interrupt_after: int | None = None
    seconds: float = 0.0
    oom: Callable[[], BaseException] = MemoryError
    name: str = "fake"
    fingerprint: str = "fake weights 1"
    settings: dict[str, str] = field(default_factory=dict)
    batches: list[list[str]] = field(default_factory=list)

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str) -> FakeModel:
        return cls(right=reference != "wrong", name=f"fake:{reference}", fingerprint=f"fake {reference}")

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        self._meet(prompts)
        shades = [int(prompt.split()[-1]) if self.right else 255 for prompt in prompts]
        return [GeneratedImage(flat(shade, seed)) for shade, seed in zip(shades, seeds, strict=True)]

    def answer(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[str]:
        self._meet(questions)
        return [str(np.asarray(pictures[0])[0, 0, 0]) if self.right else "no idea" for pictures in images]

    def _meet(self, prompts: Sequence[str]) -> None:
        self.batches.append(list(prompts))
        if self.interrupt_after is not None and len(self.batches) > self.interrupt_after:
            raise KeyboardInterrupt
        if len(prompts) > self.largest:
            raise self.oom()
        if any(prompt in self.bad for prompt in prompts):
            raise RuntimeError("a bad prompt")
        time.sleep(self.seconds * len(prompts))


class DrawsOnly:
    """A model without eyes."""

    name = "draws only"
    fingerprint = "1"

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        return [GeneratedImage(flat(0, seed)) for seed in seeds]


def flat(shade: int, seed: int = 0) -> Image.Image:
    pixels = np.full((SIDE, SIDE, 3), shade, dtype=np.uint8)
    pixels[1, 1] = list(seed.to_bytes(8)[-3:])
    return Image.fromarray(pixels)


def encoded(shade: int) -> bytes:
    content = io.BytesIO()
    flat(shade).save(content, format="PNG")
    return content.getvalue()


def verdict(benchmark: str, one: Answered, correct: bool, reason: str) -> Verdict:
    response = one.response
    return Verdict(
        benchmark, one.sample.id, response.repeat, response.digest, {"correct": float(correct)}, correct, reason, {"n": [1, 2]}
    )


def share(correct: np.ndarray, rows: np.ndarray) -> Statistic:
    return Statistic(of=lambda weights: (weights[..., rows] @ correct[rows]) / weights[..., rows].sum(axis=-1), n=int(rows.sum()))


ENTRIES: dict[registry.Group, dict[str, str]] = {
    "benchmarks": {"drawing": "fakes:Drawing", "reading": "fakes:Reading"},
    "models": {"fake": "fakes:FakeModel"},
    "rewards": {},
    "proposers": {},
    "judges": {
        "shade/official": "fakes:ShadeJudge",
        "shade/black": "fakes:OtherShadeJudge",
        "shade/wrong": "fakes:WrongShadeJudge",
        "shade/missing": "fakes:missing_judge",
    },
}
"""What the fakes add to the registry, as an installed package's entry points would."""


REFERENCE = ModelReference("fake", "fake", "fake")


def settings(*benchmarks: str, data: Path | None = None, **changes: Any) -> Settings:
    """Settings of a run on the fakes."""
    names = benchmarks or ("drawing", "reading")
    folder = data or Path(__file__).parent
    return Settings(suite="+".join(names), benchmarks=names, source=Source("folder", path=folder), **changes)
