"""What the two sides of a subject see in a step: everything follows from the step's number, and no lesson comes twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from suder_bench.world.perception import perceive
from suder_bench.world.pretrain import curriculum
from suder_bench.world.pretrain.curriculum import Turn
from suder_bench.world.render import render

SEED = (2506, 7963, 3)
UNCONDITIONAL = 0.1
SPOILT = {"clean": 0.58, "rebuilt": 0.16, "noised": 0.08, "broken": 0.06, "mixed": 0.06, "sampled": 0.06}
"""How the pictures of the reading side are made."""
TRIES = 3
"""Turns in a row that are too long for what is left of a page, after which it is full."""


class Tokenizer(Protocol):
    """Pictures (n, 64, 64, 3) uint8 to codes (n, tokens) int64 and back. All pictures of a step are encoded, some decoded."""

    def encode(self, pictures: np.ndarray) -> np.ndarray: ...

    def decode(self, codes: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Drawing:
    """A text, whether it is hidden (the picture is to be drawn without it), its picture's codes (tokens,), and what each patch
    shows (64, 7)."""

    text: str
    hidden: bool
    codes: np.ndarray
    looks: np.ndarray


@dataclass(frozen=True)
class Page:
    """A picture (64, 64, 3) uint8 with turns about it, and what each patch shows (64, 7), or None where that is not known."""

    picture: np.ndarray
    turns: list[Turn]
    looks: np.ndarray | None


class School:
    """Lessons made anew for each step: `drawn` texts with their pictures; the first `read` of these are pages, with as many
    turns as have room, and the others are plain: what a text asks for is sooner learned where little else is to be drawn.
    A page has room for turns of `room` tokens in all, of which `length` says how many a turn takes."""

    def __init__(self, tokenizer: Tokenizer, length: Callable[[Turn], int], *, drawn: int, read: int, room: int):
        self.tokenizer, self.length = tokenizer, length
        self.drawn, self.read, self.room = drawn, min(read, drawn), room
        self.sampled: list[tuple[np.ndarray, str]] = []

    def step(self, step: int) -> tuple[list[Drawing], list[Page]]:
        """What the drawing and the reading side see."""
        rng = np.random.default_rng([*SEED, 1, step])
        easy = curriculum.easy_share(step)
        lessons = [curriculum.lesson(rng, easy=bool(rng.random() < easy), plain=i >= self.read) for i in range(self.drawn)]
        pictures = [render(made.scene) for made in lessons]
        codes = self.tokenizer.encode(np.stack(pictures))
        looks = [curriculum.looks(made.scene, picture) for made, picture in zip(lessons, pictures, strict=True)]
        drawings = []
        for made, named, seen in zip(lessons, codes, looks, strict=True):
            text = made.wrong if rng.random() < curriculum.NOISE else made.text
            drawings.append(Drawing(text, bool(rng.random() < UNCONDITIONAL), named, seen))
        kinds = [str(kind) for kind in rng.choice(list(SPOILT), p=list(SPOILT.values()), size=self.read)]
        shown = self._shown(kinds, pictures, codes, rng)
        pages = []
        for i, (kind, picture) in enumerate(zip(kinds, shown, strict=True)):
            if kind == "sampled" and self.sampled:
                picture, words = self.sampled[int(rng.integers(len(self.sampled)))]
                pages.append(Page(picture, [curriculum.caption(words)], None))
            elif kind in ("broken", "mixed"):
                pages.append(Page(picture, [curriculum.caption(curriculum.words_for(perceive(picture), rng))], None))
            else:
                pages.append(Page(picture, self._turns(lessons[i], rng), looks[i]))
        return drawings, pages

    def _shown(
        self, kinds: Sequence[str], pictures: Sequence[np.ndarray], codes: np.ndarray, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """The pictures as the reading side sees them."""
        shown = list(pictures[: len(kinds)])
        redrawn = {}
        for i, kind in enumerate(kinds):
            if kind == "noised":
                shown[i] = curriculum.noised(shown[i], rng)
            elif kind == "broken":
                shown[i] = curriculum.spoil_picture(shown[i], rng)
            elif kind != "clean":  # mixed: codes of another picture in between, as a sampler's slips would put them
                redrawn[i] = codes[i].copy()
                if kind == "mixed":
                    slips = rng.permutation(codes.shape[1])[: rng.integers(3, 24)]
                    redrawn[i][slips] = codes[int(rng.integers(len(codes)))][slips]
        if redrawn:
            for i, picture in zip(redrawn, self.tokenizer.decode(np.stack(list(redrawn.values()))), strict=True):
                shown[i] = picture
        return shown

    def _turns(self, made: curriculum.Lesson, rng: np.random.Generator) -> list[Turn]:
        turns = [curriculum.caption(made.text)]
        left, missed = self.room - self.length(turns[0]), 0
        while missed < TRIES:
            turn = curriculum.turn(made.scene, rng, easy=made.easy)
            taken = self.length(turn)
            if taken > left:
                missed += 1
            else:
                turns.append(turn)
                left -= taken
        return turns

    def take_samples(self, sample: Callable[[Sequence[str]], np.ndarray], n: int, step: int) -> None:
        """Let the subject draw `n` new texts; what is to be seen in the pictures becomes their caption."""
        rng = np.random.default_rng([*SEED, 4, step])
        pictures = sample([curriculum.lesson(rng).text for _ in range(n)])
        self.sampled += [(picture, curriculum.words_for(perceive(picture), rng)) for picture in pictures]
