"""The world's training split: prompts of GenEval's six tags with their metadata, and pictures of every family.

T2I-CompBench's training prompts are files of its own (`write_t2i_compbench`). No text of a large family that a test file may
hold is here; the small families (see `language.SMALL_FAMILIES`) are in both splits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from suder_bench.world import render
from suder_bench.world.examples import stream, texts, write_json_lines, write_lines
from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.scenes import draw
from suder_bench.world.vocabulary import NOUNS
from suder_bench.world.write_geneval import PROMPTS, clauses

EACH = 120
"""Prompts of each tag, repeated where there are fewer, because GenEval's overall is the plain mean of the tags."""

PICTURES = 2800
"""As many as the paper takes of each of its sets; there is no end to them."""


def geneval_rows() -> list[dict[str, Any]]:
    """Lines of an `evaluation_metadata.jsonl` of training prompts, tag by tag."""
    rows = []
    for i, tag in enumerate(PROMPTS):
        different = texts(tag, "train", EACH, stream("geneval training", i))
        for k in range(EACH):
            description, prompt = different[k % len(different)]
            rows.append({"tag": tag, **clauses(tag, description), "prompt": prompt})
    return rows


def write_geneval(folder: Path) -> None:
    """A data folder of GenEval that asks the training prompts."""
    write_json_lines(folder / "evaluation_metadata.jsonl", geneval_rows())
    write_lines(folder / "object_names.txt", NOUNS)


def picture(i: int) -> Image.Image:
    """The i-th picture, 64 x 64 RGB; the families take turns."""
    rng = stream("training pictures", i)
    family = list(FAMILIES)[i % len(FAMILIES)]
    description, _ = draw_text(family, rng, "train")
    return render.picture(draw(description, rng))
