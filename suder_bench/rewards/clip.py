"""CLIP's cosine as a reward: the external reward that SUDER's ablation puts in the place of its own (arXiv 2506.07963, Table 5).

Judged by the role "clip": ViT-B/32, or for a model of the world tiny-clip, a CLIP that was trained on it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

from huggingface_hub import constants
from PIL import Image

from suder_bench.models.protocols import Model, TellsItsWorld
from suder_bench.runs import judges


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


@runtime_checkable
class KnowsItsLimit(Protocol):
    def refuse_long(self, texts: Sequence[str]) -> None:
        """Raises `UserError` naming a text that is longer than the judge can read; nothing is computed for it."""
        ...


class Clip:
    """The cosine of picture and text, in [-1, 1], which ignores the model that is rewarded."""

    name = "clip"

    def __init__(self, judge: Similarity):
        self.judge = judge

    @classmethod
    def load(cls, model: Model, *, backend: str | None = None, device: str = "auto") -> Self:
        """By default tiny-clip for a model of the world, else ViT-B/32. Raises `JudgeError` where CLIP's weights cannot be had,
        or it gets known answers wrong."""
        world = isinstance(model, TellsItsWorld) and model.world
        chosen = {"clip": backend or ("tiny-clip" if world else "official")}
        panel = judges.seat(chosen, device=device, dtype="auto", offline=constants.HF_HUB_OFFLINE)
        for missing in panel.missing.values():
            raise missing
        judge: Similarity = panel.judges["clip"]  # type: ignore[assignment]
        return cls(judge)

    def check(self, prompts: Sequence[str]) -> None:
        """Raises `UserError` naming a prompt that is longer than CLIP can read."""
        if isinstance(self.judge, KnowsItsLimit):
            self.judge.refuse_long(prompts)

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
