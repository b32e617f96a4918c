"""A reward: light pictures for prompts that ask for white, dark ones for black."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from suder_bench.models.protocols import Model
from suder_bench_example.judge import MeanLightness


class BrightnessReward:
    name = "brightness"

    @classmethod
    def load(cls, model: Model) -> BrightnessReward:
        return cls()

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        judge = MeanLightness.load(device="cpu", dtype="float32", offline=True)
        found = judge.lightness(pictures)
        return [light if "white" in prompt else 1 - light for prompt, light in zip(prompts, found, strict=True)]
