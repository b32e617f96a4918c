"""SRUM's reward (arXiv 2510.12784): the model judges its own picture as a whole and region by region.

With p = p(yes) / (p(yes) + p(no)) of the model's answer to a yes/no question (method notes, section 8, "judge quality"):

    S = 2 p - 1                              of the whole picture, s_b = 2 p_b - 1 of region b            in [-1, 1]
    g = (S + 1) / 2,   w_b = (s_b + 1) / 2   (section 4)                                                  in [0, 1]
    R = g * mean_b w_b                       the scalar of section 8, option B; the trainer normalises it within a group

SRUM's boxes come from an external segmenter, its map takes the best box over each pixel and one half elsewhere. Here the
boxes are the cells of a grid, so that no other model has a say, and the mean keeps the bad ones visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Self

import numpy as np
from PIL import Image

from suder_bench.data.prompts import yes_no_prompt
from suder_bench.models.protocols import ChoiceLikelihood, Model
from suder_bench.rewards.vqa import Question, able, of_world, p_yes, whole_question, world_question

GRID = 3
"""Regions along each side of a picture."""


def region_question(prompt: str) -> str:
    """Of a cropped region: whether it fits a picture of the prompt."""
    return yes_no_prompt(f'Could this be a part of an image that shows "{prompt.strip()}"?')


class Srum:
    """R in [0, 1], by the model that is rewarded: 1 + 9 short forward passes a picture. Captions it does not score."""

    name = "srum"

    def __init__(
        self,
        model: ChoiceLikelihood,
        *,
        whole: Question = whole_question,
        region: Question = region_question,
        batch_size: int = 32,
    ):
        """`whole` asks about the picture, `region` about each of its crops; `batch_size` counts both."""
        self.model = model
        self.whole, self.region = whole, region
        self.batch_size = batch_size

    @classmethod
    def load(cls, model: Model, *, batch_size: int = 32) -> Self:
        """A model of the world is asked the one question it knows of both. Raises `UserError` when the model cannot be asked."""
        asked = {"whole": world_question, "region": world_question} if of_world(model) else {}
        return cls(able(cls.name, model), **asked, batch_size=batch_size)

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        if len(prompts) != len(pictures):
            raise ValueError(f"{len(prompts)} prompts for {len(pictures)} pictures")
        found = self.judge(prompts, pictures)
        return [combined(2 * own[0] - 1, 2 * own[1:] - 1) for own in found]

    def judge(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> np.ndarray:
        """p of each picture and of its regions in raster order, (pictures, 1 + GRID * GRID)."""
        shown, questions = [], []
        for prompt, picture in zip(prompts, pictures, strict=True):
            crops = regions(picture)
            shown += [picture, *crops]
            questions += [self.whole(prompt), *[self.region(prompt)] * len(crops)]
        return np.array(p_yes(self.model, shown, questions, batch_size=self.batch_size)).reshape(-1, 1 + GRID * GRID)


def combined(whole: float, regions: Sequence[float] | np.ndarray) -> float:
    """g * mean_b w_b of scores in [-1, 1]."""
    return float((whole + 1) / 2 * np.mean((np.asarray(regions) + 1) / 2))


def regions(picture: Image.Image) -> list[Image.Image]:
    """The cells of a GRID x GRID partition in raster order; the sides of neighbours differ by at most a pixel."""
    columns, rows = ([round(k * side / GRID) for k in range(GRID + 1)] for side in picture.size)
    return [
        picture.crop((left, top, right, bottom)) for (top, bottom), (left, right) in product(pairwise(rows), pairwise(columns))
    ]
