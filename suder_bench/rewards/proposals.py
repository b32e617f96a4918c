"""Where SRUM's boxes come from: a grid, the model itself, or a plug-in such as a segmenter, which is never asked unless named.

A package adds one by the entry points `suder_bench.proposers`, a class as `Proposer`; without a package a function of prompts and
pictures that gives boxes is named as `module:function`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, Self

import numpy as np
from PIL import Image

from suder_bench import registry
from suder_bench.data.prompts import CAPTION_REQUEST, yes_no_prompt
from suder_bench.errors import UserError, unknown
from suder_bench.models.protocols import ChoiceLikelihood, ImageToText, Model, TellsItsWorld, TextSampling
from suder_bench.rewards.regions import Box, cells, inside
from suder_bench.rewards.vqa import p_yes

OBJECTS = "Which objects are in the image? Name them, separated by commas."
LONGEST = 64
"""Tokens of a list of objects."""

_BETWEEN = re.compile(
    r"[,;.\n]|\band\b|\b(?:on|to|at) the (?:left|right|top|bottom|side) of\b|\b(?:next to|in front of|hidden by|on side of)\b"
    r"|\b(?:with|near|behind|above|below|beside|under|over|in|on)\b",
    re.IGNORECASE,
)
_LIST = re.compile(r"^(?:[-*\s]|\d+[.)])+")

Propose = Callable[[Sequence[str], Sequence[Image.Image]], Sequence[Sequence[Box]]]
"""Prompts and pictures to the boxes of each picture, in its pixels."""


class Proposer(Protocol):
    """A source of boxes."""

    @classmethod
    def load(cls, model: Model, *, cells: int, batch_size: int) -> Self:
        """`model` is who is rewarded, `cells` those along a side of a picture for what works on a grid. Raises `UserError`."""
        ...

    def propose(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> Sequence[Sequence[Box]]:
        """The boxes of each picture, in its pixels, for the prompt that it was drawn from; the most important first."""
        ...


@dataclass(frozen=True)
class GridBoxes:
    """The cells of a partition, whatever the picture shows."""

    cells: int

    @classmethod
    def load(cls, model: Model, *, cells: int, batch_size: int) -> Self:
        return cls(cells)

    def propose(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Box]]:
        return [cells(picture.size, self.cells) for picture in pictures]


@dataclass(frozen=True)
class ModelBoxes:
    """The model names the objects of the picture, and each is where it says yes to it.

    A box is the hull of the cells of a grid about which the model finds yes likelier than no, or of the one with the likeliest
    yes where there is none: things are found by the answers of any model, not by coordinates that few were taught to tell.
    """

    model: Any
    cells: int
    batch_size: int
    request: str = OBJECTS

    @classmethod
    def load(cls, model: Model, *, cells: int, batch_size: int) -> Self:
        """A model of the world, which knows only one request for words, is asked to describe. Raises `UserError` for a model
        that answers nothing, or does not tell how likely its answers are."""
        if not (isinstance(model, ChoiceLikelihood) and isinstance(model, ImageToText)):
            raise UserError(
                f"boxes 'model' need a model that answers and tells how likely its answers are; '{model.name}' does not"
            )
        world = isinstance(model, TellsItsWorld) and model.world
        return cls(model, cells, batch_size, CAPTION_REQUEST if world else OBJECTS)

    def propose(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Box]]:
        found: list[list[Box]] = []
        for start in range(0, len(pictures), self.batch_size):
            part = pictures[start : start + self.batch_size]
            said = self.model.answer(
                [[one] for one in part],
                [self.request] * len(part),
                seeds=[0] * len(part),
                sampling=TextSampling(temperature=0.0, max_new_tokens=LONGEST),
            )
            found += [self._found(picture, objects(text)) for picture, text in zip(part, said, strict=True)]
        return found

    def _found(self, picture: Image.Image, names: Sequence[str]) -> list[Box]:
        places = inside(cells(picture.size, self.cells), picture.size)
        crops = [picture.crop(place) for place in places]
        asked = [yes_no_prompt(f"Is there {name} in the image?") for name in names for _ in crops]
        yes = np.array(p_yes(self.model, crops * len(names), asked, batch_size=self.batch_size)).reshape(-1, len(places))
        boxes = [_hull([place for place, p in zip(places, row, strict=True) if p > 0.5] or [places[row.argmax()]]) for row in yes]
        return list(dict.fromkeys(boxes))


@dataclass(frozen=True)
class FunctionBoxes:
    """Those of a function, or of a plug-in's `propose`."""

    function: Propose
    name: str

    def propose(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Box]]:
        """Raises `UserError` naming the plug-in for what are no boxes of each picture."""
        given = self.function(prompts, pictures)
        try:
            found = [[(int(left), int(top), int(right), int(bottom)) for left, top, right, bottom in boxes] for boxes in given]
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"boxes '{self.name}' are not four numbers each, left, top, right, bottom ({error})") from error
        if len(found) != len(pictures):
            raise UserError(f"boxes '{self.name}' came for {len(found)} pictures, not for {len(pictures)}; give a list for each")
        return found


def load(name: str, model: Model, *, cells: int, batch_size: int) -> Any:
    """A proposer by the registry's name, or of `module:function`. Raises `UserError` for what is neither."""
    check(name)
    if ":" in name:
        return FunctionBoxes(_function(name), name)
    kind = registry.load("proposers", name)
    found = kind.load(model, cells=cells, batch_size=batch_size)
    return found if kind in (GridBoxes, ModelBoxes) else FunctionBoxes(found.propose, name)


def check(name: str) -> None:
    """Raises `UserError` for a name that stands for nothing."""
    if ":" in name:
        _function(name)
    elif name not in registry.table("proposers"):
        raise unknown("source of boxes", name, [*registry.table("proposers"), "MODULE:FUNCTION"])


def largest(boxes: Sequence[Box], size: tuple[int, int], most: int) -> list[Box]:
    """What lies on the picture, the largest `most` (section 2), the first of equals first."""
    kept = inside(boxes, size)
    return sorted(kept, key=lambda box: -(box[2] - box[0]) * (box[3] - box[1]))[:most]


def objects(text: str) -> list[str]:
    """The things of a list or of a sentence about a picture, each once: "a red ball next to two cups" has two."""
    said = (_LIST.sub("", part).strip() for part in _BETWEEN.split(text))
    return list(dict.fromkeys(one[:1].lower() + one[1:] for one in said if any(map(str.isalpha, one))))


def _hull(boxes: Sequence[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _function(name: str) -> Propose:
    module, _, attribute = name.partition(":")
    try:
        found: Propose = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"boxes '{name}' are no function that can be imported ({error}); give MODULE:FUNCTION") from error
    return found
