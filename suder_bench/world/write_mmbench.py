"""MMBench's table: six abilities, pictures in base64, and each question once for every rotation of its options."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path

from suder_bench.data.prompts import LETTERS, PASS
from suder_bench.world.examples import Size, choice, png, stream, write_text

QUESTIONS = {"quick": 48, "full": 900}
"""The official file has 1,164: of 900 an interval is at most 3.3 points on either side."""

ABILITIES: dict[str, tuple[tuple[str, str], ...]] = {
    "coarse_perception": (("image_scene", "caption"), ("image_topic", "noun")),
    "finegrained_perception (instance-level)": (
        ("attribute_recognition", "color"),
        ("object_localization", "location"),
        ("attribute_recognition", "texture"),
        ("object_localization", "counting"),
        ("attribute_recognition", "form"),
    ),
    "finegrained_perception (cross-instance)": (
        ("spatial_relationship", "spatial"),
        ("action_recognition", "action"),
        ("attribute_comparison", "size"),
        ("spatial_relationship", "depth"),
    ),
    "attribute_reasoning": (("physical_property_reasoning", "bearer"), ("identity_reasoning", "identity")),
    "relation_reasoning": (("physical_relation", "mirror"),),
    "logic_reasoning": (("future_prediction", "arithmetic"), ("structuralized_imagetext_understanding", "remainder")),
}
"""The official abilities, each with official finer categories and the kind of question that stands for them here."""

COLUMNS = ("index", "question", "hint", *LETTERS, "answer", "category", "l2-category", "image", "source", "split", "comment")


def write(folder: Path, size: Size) -> None:
    rows: list[dict[str, str | int]] = []
    abilities = list(ABILITIES.items())
    for i in range(QUESTIONS[size]):
        ability, kinds = abilities[i % len(abilities)]
        turn, place = divmod(i // len(abilities), len(kinds))
        category, kind = kinds[place]
        rng = stream("mmbench", i)
        # Most questions have four options; whether one of two things is bigger has three.
        n = 3 if kind == "size" else int(rng.choice([2, 3, 4], p=[0.1, 0.15, 0.75]))
        drawn, question, options, letter = choice(kind, n, turn + place, rng)
        answer = options[LETTERS.index(letter)]
        for k in range(n):
            rotated = options[k:] + options[:k]
            rows.append(
                {
                    "index": i + 1 + k * PASS,
                    "question": question,
                    **dict(zip(LETTERS, rotated, strict=False)),
                    "answer": LETTERS[rotated.index(answer)],
                    "category": category,
                    "l2-category": ability,
                    "image": str(i + 1) if k else base64.b64encode(png(drawn)).decode(),
                    "source": "world",
                    "split": "dev",
                }
            )
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, restval="", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: int(row["index"])))
    write_text(folder / "MMBench_DEV_EN.tsv", table.getvalue())
