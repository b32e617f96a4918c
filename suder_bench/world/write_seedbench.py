"""SEED-Bench's JSON: four-choice questions in the nine image dimensions.

Pictures hold no letters, so 'Text Understanding' asks for the one kind of writing the world has: the sign between two
things, an arrow or a pair of arms, and which way it runs.
"""

from __future__ import annotations

import json
from pathlib import Path

from suder_bench.world.examples import Size, choice, stream, write_png, write_text

QUESTIONS = {"quick": 10, "full": 60}
"""Questions in each dimension."""

DIMENSIONS: dict[str, tuple[str, ...]] = {
    "Scene Understanding": ("caption",),
    "Instance Identity": ("noun", "identity"),
    "Instance Attributes": ("color", "texture", "form"),
    "Instance Location": ("location",),
    "Instances Counting": ("counting",),
    "Spatial Relation": ("spatial", "depth"),
    "Instance Interaction": ("action",),
    "Visual Reasoning": ("arithmetic", "mirror", "remainder"),
    "Text Understanding": ("sign",),
}
"""The official dimensions 1 to 9 and the kinds of questions that stand for them here."""


def write(folder: Path, size: Size) -> None:
    rows: list[dict[str, object]] = []
    for number, (dimension, kinds) in enumerate(DIMENSIONS.items(), start=1):
        for i in range(QUESTIONS[size]):
            turn, place = divmod(i, len(kinds))
            rng = stream(f"seedbench/{dimension}", i)
            drawn, question, options, letter = choice(kinds[place], 4, turn + place + number, rng)
            name = f"{number}_{i:04d}.png"
            write_png(drawn, folder / "images" / name)
            choices = {f"choice_{x}": option for x, option in zip("abcd", options, strict=True)}
            rows.append(
                {"answer": letter, **choices, "data_id": name, "data_type": "image", "question": question}
                | {"question_id": str(len(rows)), "question_type_id": number}
            )
    document = {"questions": rows, "question_type": {name: i for i, name in enumerate(DIMENSIONS, start=1)}}
    write_text(folder / "SEED-Bench.json", json.dumps(document, indent=1) + "\n")
