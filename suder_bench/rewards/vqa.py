"""A judge's p(yes) to the prompt as a question: T2I-CompBench's BLIP-VQA asked about the whole prompt at once.

Judged by the role "vqa": BLIP, or what reads the world for a model that was trained on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

from PIL import Image

from suder_bench.models.protocols import Model
from suder_bench.rewards.judged import seated


class Answers(Protocol):
    def p_yes(self, pictures: Sequence[Image.Image], questions: Sequence[Sequence[str]]) -> list[list[float]]:
        """p(yes) / (p(yes) + p(no)) of each question about its picture, in [0, 1]."""
        ...


class Vqa:
    """p(yes) of "<prompt>?", in [0, 1], which ignores the model that is rewarded. Captions it does not score."""

    name = "vqa"

    def __init__(self, judge: Answers):
        self.judge = judge

    @classmethod
    def load(cls, model: Model) -> Self:
        """Raises `JudgeError` where BLIP's weights cannot be had, or it gets known answers wrong."""
        judge: Answers = seated("vqa", model)  # type: ignore[assignment]
        return cls(judge)

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        """A prompt's own full stop or question mark gives way to the question mark."""
        if len(prompts) != len(pictures):
            raise ValueError(f"{len(prompts)} prompts for {len(pictures)} pictures")
        questions = [[f"{prompt.strip().rstrip('.?')}?"] for prompt in prompts]
        return [float(p) for [p] in self.judge.p_yes(pictures, questions)]
