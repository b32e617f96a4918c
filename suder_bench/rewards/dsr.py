"""The dual self-reward of SUDER (arXiv 2506.07963, equation 3): each side of a unified model scores the other.

    R_G(y_V; x_T) = 1/|x_T| sum_k log P(x_T[k] | y_V, x_T[<k])      of a picture y_V made from the prompt x_T
    R_U(y_T; x_V) = 1/|x_V| sum_k log P(x_V[k] | y_T, x_V[<k])      of a caption y_T written for the picture x_V

The target is one fixed sequence within a group of samples, so that the mean ranks as the sum does, and the length of what was
sampled never enters. No guidance, no gradient, no other model. Range (-inf, 0].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models.protocols import DualLikelihood, Model


class Dsr:
    """Both rewards from one scorer: the model itself (unified strategy), or its frozen partner (separate strategy)."""

    name = "dsr"

    def __init__(self, model: DualLikelihood, *, batch_size: int = 32):
        """`batch_size` bounds the memory of a forward pass; scores do not depend on it."""
        self.model = model
        self.batch_size = batch_size

    @classmethod
    def load(cls, model: Model, *, batch_size: int = 32) -> Self:
        """The unified strategy. Raises `UserError` when the model cannot score its own modalities."""
        if not isinstance(model, DualLikelihood):
            raise UserError(
                f"reward 'dsr' needs a model that scores texts and pictures; '{model.name}' does not (see suder-bench list)"
            )
        return cls(model, batch_size=batch_size)

    @torch.no_grad()
    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image] | torch.Tensor) -> list[float]:
        """R_G of each picture. `pictures` may be pixels (pictures, 3, size, size) in [-1, 1], since decoded tokens need no
        detour, or the tokens themselves for a model that reads those (`ReadsCodes`)."""
        empty = [i for i, prompt in enumerate(prompts) if not prompt.strip()]
        if empty or len(prompts) != len(pictures):
            raise ValueError(f"{len(prompts)} prompts ({len(empty)} empty) for {len(pictures)} pictures")
        scores: list[float] = []
        for i in range(0, len(prompts), self.batch_size):
            part = slice(i, i + self.batch_size)
            scores += [float(logprobs.mean()) for logprobs in self.model.text_logprobs(pictures[part], prompts[part])]
        return scores

    @torch.no_grad()
    def score_captions(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[float]:
        """R_U of each caption; a picture that comes several times is tokenised once. An empty caption scores like any other."""
        if len(pictures) != len(captions):
            raise ValueError(f"{len(pictures)} pictures for {len(captions)} captions")
        if not captions:
            return []
        different = list({id(picture): picture for picture in pictures}.values())
        place = {id(picture): i for i, picture in enumerate(different)}
        tokens = self.model.tokenize_images(different)[[place[id(picture)] for picture in pictures]]
        scores: list[float] = []
        for i in range(0, len(captions), self.batch_size):
            part = slice(i, i + self.batch_size)
            scores += self.model.image_logprobs(captions[part], tokens[part]).mean(dim=1).tolist()
        return scores
