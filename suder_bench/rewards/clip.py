"""CLIP's cosine as a reward: the external reward that SUDER's ablation puts in the place of its own (arXiv 2506.07963, Table 5).

Judged by the role "clip": ViT-B/32, or what reads the world for a model that was trained on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

from PIL import Image

from suder_bench.models.protocols import Model
from suder_bench.rewards.judged import seated


class Similarity(Protocol):
    def similarity(self, pictures: Sequence[Image.Image], texts: Sequence[str]) -> list[float]:
        """Similarity of each picture with its text."""
        ...


@runtime_checkable
class ReadsBeginnings(Protocol):
    """A judge that reads only so much of a text, and can be told to leave it at that."""

    def similarity_to_beginnings(self, pictures: Sequence[Image.Image], texts: Sequence[str]) -> list[float]:
        """Similarity of each picture with as much of its text as the judge can read."""
        ...


class Clip:
    """The cosine of picture and text, which ignores the model that is rewarded. In [-1, 1], of the world's judge in [0, 1]."""

    name = "clip"

    def __init__(self, judge: Similarity):
        self.judge = judge

    @classmethod
    def load(cls, model: Model) -> Self:
        """Raises `JudgeError` where CLIP's weights cannot be had, or it gets known answers wrong."""
        judge: Similarity = seated("clip", model)  # type: ignore[assignment]
        return cls(judge)

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        """Raises `UserError` for a prompt that is longer than CLIP can read."""
        if len(prompts) != len(pictures):
            raise ValueError(f"{len(prompts)} prompts for {len(pictures)} pictures")
        return self.judge.similarity(pictures, prompts)

    def score_captions(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[float]:
        """Of a caption that is longer than CLIP can read its beginning counts: a model may write at any length."""
        if len(pictures) != len(captions):
            raise ValueError(f"{len(pictures)} pictures for {len(captions)} captions")
        if isinstance(self.judge, ReadsBeginnings):
            return self.judge.similarity_to_beginnings(pictures, captions)
        return self.judge.similarity(pictures, captions)
