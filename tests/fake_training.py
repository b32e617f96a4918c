"""Training folders that take milliseconds: a checkpoint is a folder with a skill, which the fake adapter reads."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fakes import FakeModel, flat
from PIL import Image

from suder_bench.models.protocols import GeneratedImage, ImageSampling, TextSampling


@dataclass
class Painter(FakeModel):
    """Draws the darkest `skill` of the twelve shades rightly, and reads rightly from a skill of a half on."""

    skill: float = 0.0

    @classmethod
    def load(cls, reference: str, *, device: str = "cpu", dtype: str = "float32") -> Painter:
        text = "0.25" if reference == "start" else (Path(reference) / "skill").read_text()
        if text == "torn":
            raise RuntimeError("header too large\nmore about it")
        return cls(name=reference, fingerprint=f"skill {text}", skill=float(text))

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        self._meet(prompts)
        shades = [int(prompt.split()[-1]) for prompt in prompts]
        right = [shade / 20 < 12 * self.skill for shade in shades]
        return [GeneratedImage(flat(shade if ok else 255, seed)) for shade, ok, seed in zip(shades, right, seeds, strict=True)]

    def answer(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[str]:
        return [str(np.asarray(pictures[0])[0, 0, 0]) if self.skill >= 0.5 else "no idea" for pictures in images]


@dataclass(frozen=True)
class FakeRun:
    """A training run's folder, written bit by bit as training does."""

    path: Path

    def begin(self, model: str = "fake:start", strategy: str = "unified") -> FakeRun:
        self.path.mkdir(parents=True)
        (self.path / "recipe.yaml").write_text(f"model: {model}\nstrategy: {strategy}\n")
        return self

    def checkpoint(self, step: int, skill: float | str, branch: str = "", *, complete: bool = True) -> Path:
        folder = self.path / branch / f"checkpoint-{step}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "skill").write_text(str(skill))
        if complete:
            (folder / "trainer_state.json").write_text("{}")
        return folder

    def finish(self, steps: int) -> None:
        (self.path / "finished.json").write_text(json.dumps({"steps": steps}))

    @contextmanager
    def training(self) -> Iterator[None]:
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(descriptor)

    def skills(self, suite: str, benchmark: str, evaluations: str = "evaluations") -> dict[int, float]:
        """The headline of each step that has a summary."""
        found = {}
        for file in (self.path / evaluations).glob(f"step-*/{suite}/summary.json"):
            entry = json.loads(file.read_text())["benchmarks"][benchmark]
            found[int(file.parent.parent.name.removeprefix("step-"))] = entry["metrics"][entry["headline"]]["value"]
        return dict(sorted(found.items()))
