"""A benchmark: is a picture that should be white light, and one that should be black dark?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.benchmark import Kind
from suder_bench.records import Answered, Sample, Statistic, Verdict

SUBJECTS = ("wall", "sheet of paper", "night sky", "field")


class Brightness:
    """Needs no files, so `data` is ignored; a real benchmark reads its official files there."""

    name = "brightness"
    kind: Kind = "generation"
    repeats = 2
    headline = "accuracy"
    paper_metrics = ("accuracy",)
    judge_roles = ("lightness",)
    protocols = ("official",)

    def __init__(self, data: Path, protocol: str = "official") -> None:
        self.protocol = protocol

    def samples(self) -> list[Sample]:
        return [
            Sample(id=f"{color}-{i}", cluster=f"{color}-{i}", prompt=f"a {color} {subject}", truth={"color": color})
            for i, subject in enumerate(SUBJECTS)
            for color in ("white", "black")
        ]

    def verdicts(self, answered: Sequence[Answered], judges: Mapping[str, Any]) -> Iterator[Verdict]:
        found = judges["lightness"].lightness([item.open_image() for item in answered])
        for item, lightness in zip(answered, found, strict=True):
            correct = (lightness > 0.5) == (item.sample.truth["color"] == "white")
            yield Verdict(
                benchmark=self.name,
                sample=item.sample.id,
                repeat=item.response.repeat,
                digest=item.response.digest,
                scores={"accuracy": float(correct)},
                correct=correct,
                reason=f"expected {item.sample.truth['color']}, found lightness {lightness:.2f}",
            )

    def statistics(self, rows: Sequence[tuple[Sample, Verdict]]) -> dict[str, Statistic]:
        accuracy = np.array([verdict.scores["accuracy"] for _, verdict in rows])
        return {"accuracy": Statistic(of=lambda weights: weights @ accuracy / weights.sum(axis=-1), n=len(rows))}

    def image_path(self, sample: Sample, repeat: int) -> str:
        return f"{sample.id}/{repeat}.png"

    def sidecars(self, sample: Sample) -> Mapping[str, str]:
        return {}

    def find_images(self, folder: Path) -> list[tuple[Sample, int, Path]]:
        files = [(sample, repeat, folder / self.image_path(sample, repeat)) for sample in self.samples() for repeat in range(2)]
        return [(sample, repeat, file) for sample, repeat, file in files if file.is_file()]
