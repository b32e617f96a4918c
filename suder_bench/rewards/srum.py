"""SRUM's reward (arXiv 2510.12784): the model judges its own picture as a whole and region by region.

A judgement is a score in [-1, 1], S of the whole picture and s_b of box b (method notes, sections 3 and 8). By default it is the
model's own yes against no, p = p(yes) / (p(yes) + p(no)), about the picture and about each box cut out of it: one short forward
pass, no parsing; with `score: text` it is what the model writes, as the released code asks and reads it (`srum_words`).

    S = 2 p - 1,        s_b = 2 p_b - 1                                                                   in [-1, 1]
    g = (S + 1) / 2,    w_b = (s_b + 1) / 2   (section 4)                                                 in [0, 1]
    R = g mean_b w_b    or g alone: the scalars of section 8, option B; the trainer normalises them within a group

SRUM's boxes come from an external segmenter. Here they are the cells of a grid, so that no other model has a say, unless a recipe
asks the model for objects or names a plug-in (`proposals`). What boxes are worth, code by code, is in `regions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from PIL import Image

from suder_bench.data.prompts import yes_no_prompt
from suder_bench.errors import UserError
from suder_bench.models.protocols import ImageToText, Model
from suder_bench.rewards import proposals
from suder_bench.rewards.proposals import GridBoxes, largest
from suder_bench.rewards.regions import Box, Region, inside
from suder_bench.rewards.srum_words import Words
from suder_bench.rewards.vqa import Question, able, of_world, p_yes, whole_question, world_question


@dataclass(frozen=True)
class Judging:
    """What is judged, and how.

    `scalar` is a picture's one number: g times the mean of w_b, or g alone, which needs no boxes. `score`: the probability of
    yes, or text. `boxes`: grid, model, a plug-in's name, or module:function. `cells` are the grid's along a side of the picture;
    `most` boxes, the largest, are kept of those that are no grid (the released launcher's 10).
    """

    scalar: Literal["product", "global"] = "product"
    score: Literal["yes-no", "text"] = "yes-no"
    boxes: str = "grid"
    cells: int = 3
    most: int = 10


@dataclass
class Judged:
    """Of one picture: the whole's score, None where no reply had one, and those of its boxes, None before they were judged.
    `known`: whether the whole was."""

    whole: float | None = None
    regions: list[Region] | None = None
    known: bool = False


def region_question(prompt: str) -> str:
    """Of a cropped region: whether it fits a picture of the prompt."""
    return yes_no_prompt(f'Could this be a part of an image that shows "{prompt.strip()}"?')


class Srum:
    """R in [0, 1], by the model that is rewarded: 1 + 9 short forward passes a picture. Captions it does not score."""

    name = "srum"

    def __init__(
        self,
        model: Any,
        *,
        judging: Judging = Judging(),
        boxes: Any = None,
        whole: Question = whole_question,
        region: Question = region_question,
        batch_size: int = 32,
    ):
        """`whole` asks about the picture, `region` about each of its crops; `batch_size` counts both. `boxes` proposes, by
        default the judging's grid."""
        self.model, self.judging = model, judging
        self.boxes = boxes or GridBoxes(judging.cells)
        self.whole, self.region = whole, region
        self.batch_size = batch_size
        self.words = Words(model, batch_size) if judging.score == "text" else None
        self._judged: dict[tuple[str, bytes], Judged] = {}

    @classmethod
    def load(cls, model: Model, *, judging: Judging = Judging(), batch_size: int = 32) -> Self:
        """A model of the world is asked the one question it knows of both. Raises `UserError` when the model cannot be asked."""
        if judging.score == "text" and not isinstance(model, ImageToText):
            raise UserError(f"reward 'srum' with score 'text' needs a model that answers; '{model.name}' does not")
        asked = model if judging.score == "text" else able(cls.name, model)
        boxes = proposals.load(judging.boxes, model, cells=judging.cells, batch_size=batch_size)
        questions = {"whole": world_question, "region": world_question} if of_world(model) else {}
        return cls(asked, judging=judging, boxes=boxes, **questions, batch_size=batch_size)

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        """The scalar of each picture. A layout that no reply told counts 0, as in the released code."""
        if len(prompts) != len(pictures):
            raise ValueError(f"{len(prompts)} prompts for {len(pictures)} pictures")
        product = self.judging.scalar == "product"
        found = self._judge(prompts, pictures, whole=True, local=product)
        self._judged = {_key(prompt, one): own for prompt, one, own in zip(prompts, pictures, found, strict=True)}
        return [combined(one.whole or 0.0, [own.score for own in one.regions or ()] if product else None) for one in found]

    def regions(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Region] | None]:
        """The boxes of each picture with their scores; what `score_images` judged last is not asked again.

        None for a picture whose layout in text is exactly 0, which is also what stands for a reply that could not be read: the
        released code leaves such pictures out. Their boxes are not asked about then.
        """
        in_words = self.words is not None
        found = [self._judged.get(_key(prompt, one)) or Judged() for prompt, one in zip(prompts, pictures, strict=True)]
        if in_words:  # the layouts of pictures that were not judged last
            self._complete(found, [i for i, one in enumerate(found) if not one.known], prompts, pictures, local=False)
        kept = [not in_words or bool(one.whole) for one in found]
        self._complete(
            found, [i for i, one in enumerate(found) if kept[i] and one.regions is None], prompts, pictures, local=True
        )
        return [one.regions if keeps else None for one, keeps in zip(found, kept, strict=True)]

    def failures(self) -> Mapping[str, int]:
        """How many scores were asked for in words, and how many of them no reply had or lay outside; empty without words."""
        return dict(self.words.counts) if self.words is not None else {}

    def _complete(
        self,
        found: list[Judged],
        which: Sequence[int],
        prompts: Sequence[str],
        pictures: Sequence[Image.Image],
        *,
        local: bool,
    ) -> None:
        """Put in what `which` of the judgements lack: the boxes, or the whole."""
        asked = self._judge([prompts[i] for i in which], [pictures[i] for i in which], whole=not local, local=local)
        for i, one in zip(which, asked, strict=True):
            found[i] = replace(found[i], regions=one.regions) if local else one

    def _judge(self, prompts: Sequence[str], pictures: Sequence[Image.Image], *, whole: bool, local: bool) -> list[Judged]:
        boxes = self._boxes(prompts, pictures) if local else [[] for _ in pictures]
        wholes, scores = self._asked(prompts, pictures, boxes, whole=whole)
        return [
            Judged(total, [Region(box, s) for box, s in zip(own, told, strict=True) if s is not None] if local else None, whole)
            for total, own, told in zip(wholes, boxes, scores, strict=True)
        ]

    def _asked(
        self, prompts: Sequence[str], pictures: Sequence[Image.Image], boxes: Sequence[Sequence[Box]], *, whole: bool
    ) -> tuple[Sequence[float | None], Sequence[Sequence[float | None]]]:
        """S of each picture, where `whole` is asked for, and s_b of its boxes."""
        if self.words is not None:
            wholes = self.words.layouts(prompts, pictures) if whole else [None] * len(pictures)
            return wholes, self.words.regions(prompts, pictures, boxes)
        shown: list[Image.Image] = []
        questions: list[str] = []
        for prompt, picture, own in zip(prompts, pictures, boxes, strict=True):
            shown += [*([picture] if whole else []), *(picture.crop(box) for box in own)]
            questions += [*([self.whole(prompt)] if whole else []), *[self.region(prompt)] * len(own)]
        scores = iter(2 * np.array(p_yes(self.model, shown, questions, batch_size=self.batch_size)) - 1)
        found = [(float(next(scores)) if whole else None, [float(next(scores)) for _ in own]) for own in boxes]
        return [one for one, _ in found], [own for _, own in found]

    def _boxes(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Box]]:
        proposed = self.boxes.propose(prompts, pictures)
        if isinstance(self.boxes, GridBoxes):
            return [inside(own, one.size) for own, one in zip(proposed, pictures, strict=True)]
        return [largest(own, one.size, self.judging.most) for own, one in zip(proposed, pictures, strict=True)]


def combined(whole: float, regions: Sequence[float] | np.ndarray | None) -> float:
    """g, times the mean of w_b where regions are told, all scores in [-1, 1]; without any box that is 1/2, as outside of all."""
    g = (whole + 1) / 2
    if regions is None:
        return float(g)
    return float(g * np.mean((np.asarray(regions) + 1) / 2)) if len(regions) else float(g / 2)


def _key(prompt: str, picture: Image.Image) -> tuple[str, bytes]:
    """What a judgement is of."""
    return prompt, hashlib.blake2b(picture.tobytes(), key=repr((picture.mode, picture.size)).encode()).digest()
