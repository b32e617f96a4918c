"""POPE's three tracks over pictures of one to four things.

The world has object statistics here: nouns differ in how often they occur, and each has a companion that it often
comes with. So the absent objects that are asked about differ: any (random), the most frequent (popular), those that
come most often with what is there (adversarial). Frequencies are counted over the pictures of the file, as POPE does.
"""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np

from suder_bench.world.examples import Size, stream, write_json_lines, write_png
from suder_bench.world.facts import nouns
from suder_bench.world.language import article
from suder_bench.world.scenes import Description, Phrase, Scene, draw
from suder_bench.world.vocabulary import NOUNS

PICTURES = {"quick": 40, "full": 500}
ASKED = 3
"""Objects of a picture that are asked about, and as many absent ones; fewer where it shows fewer."""

THINGS = (0.2, 0.3, 0.3, 0.2)
"""Shares of pictures with one to four different things."""

COMPANION = 8.0
"""How much likelier a thing's companion is than its frequency says."""


def write(folder: Path, size: Size) -> None:
    scenes = [crowd(stream("pope", i)) for i in range(PICTURES[size])]
    for i, scene in enumerate(scenes):
        write_png(scene, folder / "images" / image(i))
    present = [nouns(scene) for scene in scenes]
    often = Counter(noun for things in present for noun in things)
    together = Counter(pair for things in present for pair in permutations(things, 2))
    for track in ("random", "popular", "adversarial"):
        rows: list[dict[str, object]] = []
        for i, things in enumerate(present):
            rng = stream("pope/questions", i)
            there = [things[j] for j in rng.permutation(len(things))[:ASKED]]
            absent = [noun for noun in NOUNS if noun not in things]
            if track == "random":
                absent = [absent[j] for j in rng.permutation(len(absent))]
            elif track == "popular":
                absent.sort(key=lambda noun: -often[noun])
            else:
                absent.sort(key=lambda noun: -sum(together[noun, thing] for thing in things))
            for noun, missing in zip(there, absent, strict=False):
                rows += [
                    question(len(rows) + k, i, word, label) for k, (word, label) in enumerate([(noun, "yes"), (missing, "no")])
                ]
        write_json_lines(folder / f"coco_pope_{track}.json", rows)


def question(number: int, picture: int, noun: str, label: str) -> dict[str, object]:
    text = f"Is there {article(noun)} in the image?"
    return {"question_id": number + 1, "image": image(picture), "text": text, "label": label}


def image(i: int) -> str:
    return f"world_val_{i:06d}.png"


def crowd(rng: np.random.Generator) -> Scene:
    """Different things: the first by frequency, each other one by frequency and by whom it joins."""
    frequency = 1 / np.arange(1, len(NOUNS) + 1) ** 0.7
    chosen: list[int] = []
    for _ in range(1 + int(rng.choice(len(THINGS), p=THINGS))):
        weights = frequency.copy()
        weights[[_companion(c) for c in chosen]] *= COMPANION
        weights[chosen] = 0
        chosen.append(int(rng.choice(len(NOUNS), p=weights / weights.sum())))
    return draw(Description(tuple(Phrase(NOUNS[c]) for c in chosen)), rng)


def _companion(noun: int) -> int:
    """Pairs a frequent noun with a rare one, so that what is likely here is not what is likely anywhere."""
    return len(NOUNS) - 1 - noun
