"""What the test files are made of: seeded streams, scenes with texts that were never trained on, questions, files."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from suder_bench.data.prompts import LETTERS
from suder_bench.world import questions
from suder_bench.world.language import Worded, draw_text
from suder_bench.world.render import picture
from suder_bench.world.scenes import Scene, draw

SEED = 7963
DRAWN = "2"
"""The version of the world whose scenes and texts these are: a later one that only sees better has the same."""

Size = Literal["quick", "full"]

TWO_THINGS = ("two_object", "color_attr", "color", "texture", "shape")

FAMILIES_FOR: dict[str, tuple[str, ...]] = {
    "caption": ("colors", *TWO_THINGS, "numeracy"),
    "noun": ("single_object", "colors", *TWO_THINGS),
    "identity": TWO_THINGS,
    "bearer": TWO_THINGS,
    "color": ("colors", "color_attr", "color", "numeracy"),
    "texture": ("texture", "complex"),
    "form": ("shape",),
    "location": ("single_object", "colors", "color_attr"),
    "counting": ("counting", "numeracy"),
    "arithmetic": ("counting", "numeracy"),
    "remainder": ("numeracy", "color"),
    "spatial": ("position", "spatial", "complex"),
    "mirror": ("position", "spatial"),
    "depth": ("3d_spatial",),
    "action": ("non_spatial", "complex"),
    "sign": ("non_spatial", "complex"),
    "size": ("shape",),
}
"""Families of texts whose scenes allow a kind of question."""


def stream(name: str, i: int) -> np.random.Generator:
    """The random stream of a benchmark's i-th item; no stream of the pretraining has these seeds."""
    return np.random.default_rng([SEED, zlib.crc32(f"{DRAWN}/{name}".encode()), i])


def scene(families: Sequence[str], rng: np.random.Generator) -> Scene:
    """A scene of one of the families, whose text belongs to the val split."""
    description, _ = draw_text(families[int(rng.integers(len(families)))], rng, "val")
    return draw(description, rng)


def texts(family: str, split: str, n: int, rng: np.random.Generator) -> list[Worded]:
    """`n` distinct texts of a family and split, or as many as two thousand draws in a row without a new one leave."""
    found: dict[str, Worded] = {}
    missed = 0
    while len(found) < n and missed < 2000:
        worded = draw_text(family, rng, split)
        missed = missed + 1 if worded[1] in found else 0
        found.setdefault(worded[1], worded)
    return list(found.values())


def choice(kind: str, options: int, turn: int, rng: np.random.Generator) -> tuple[Scene, str, list[str], str]:
    """A scene with a question of the kind: (scene, question, options, letter of the right one).

    The letter follows from `turn`, so that items that take turns have each letter equally often.
    """
    letter = LETTERS[turn % options]
    while True:
        drawn = scene(FAMILIES_FOR[kind], rng)
        try:
            question, shown, right = questions.choice(drawn, rng, kind, options)
        except ValueError:
            continue
        k = LETTERS.index(right) - LETTERS.index(letter)
        return drawn, question, shown[k:] + shown[:k], letter


def png(drawn: Scene) -> bytes:
    buffer = io.BytesIO()
    picture(drawn).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def write_png(drawn: Scene, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(drawn))


def write_text(path: Path, text: str) -> None:
    """The same bytes on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def write_lines(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_lines(path, map(json.dumps, rows))
