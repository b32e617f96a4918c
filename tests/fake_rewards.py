"""Rewards that need no network, for trainings of seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
from PIL import Image


class Red:
    """Red minus the mean of green and blue, -1 to 1."""

    name = "red"

    @classmethod
    def load(cls, model: object) -> Any:
        return cls()

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        means = [np.asarray(picture.convert("RGB"), dtype=float).mean(axis=(0, 1)) / 255 for picture in pictures]
        return [float(mean[0] - mean[1:].mean()) for mean in means]


class Letters(Red):
    """The share of a caption's characters that are letters of English, which bytes at random are not."""

    name = "letters"

    def score_captions(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[float]:
        return [sum(one.isascii() and one.isalpha() for one in caption) / max(len(caption), 1) for caption in captions]


class Starless(Red):
    """Pictures of prompts that name a star are all alike."""

    name = "starless"

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        reds = super().score_images(prompts, pictures)
        return [0.0 if "star" in prompt else red for prompt, red in zip(prompts, reds, strict=True)]


class Hole(Red):
    """No number for the prompt that names a hole."""

    name = "hole"

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        reds = super().score_images(prompts, pictures)
        return [math.nan if "hole" in prompt else red for prompt, red in zip(prompts, reds, strict=True)]


class Falling(Red):
    """Less and less, whatever is drawn, with a little spread."""

    name = "falling"

    @classmethod
    def load(cls, model: object) -> Any:
        falling = cls()
        falling.calls = count()
        return falling

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        step = next(self.calls)
        return [i % 2 / 10 - step for i in range(len(prompts))]


REWARDS = {one.name: f"fake_rewards:{one.__name__}" for one in (Red, Starless, Letters, Hole, Falling)}
"""What they add to the registry."""
