"""GenEval's `evaluation_metadata.jsonl` and `object_names.txt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suder_bench.world.examples import Size, stream, texts, write_json_lines, write_lines
from suder_bench.world.scenes import Description
from suder_bench.world.vocabulary import NOUNS

PROMPTS = {"single_object": 80, "two_object": 99, "counting": 80, "colors": 94, "position": 100, "color_attr": 100}
"""The official number of prompts for each tag, in the official order; small families have fewer distinct ones."""

QUICK = 20


def write(folder: Path, size: Size) -> None:
    rows = []
    for i, (tag, n) in enumerate(PROMPTS.items()):
        for description, prompt in texts(tag, "val", n if size == "full" else QUICK, stream("geneval", i)):
            rows.append({"tag": tag, **clauses(tag, description), "prompt": prompt})
    write_json_lines(folder / "evaluation_metadata.jsonl", rows)
    write_lines(folder / "object_names.txt", NOUNS)


def clauses(tag: str, description: Description) -> dict[str, Any]:
    """`include`, and for counting `exclude`. In a position task the thing that stands somewhere follows its reference."""
    include: list[dict[str, Any]] = []
    for phrase in description.phrases:
        clause: dict[str, Any] = {"class": phrase.noun, "count": phrase.count}
        if phrase.color:
            clause["color"] = phrase.color
        include.append(clause)
    if description.relation:
        placed, reference = include[description.relation.first], include[description.relation.second]
        include = [reference, placed | {"position": [description.relation.kind, 0]}]
    if tag == "counting":
        return {"include": include, "exclude": [{"class": c["class"], "count": c["count"] + 1} for c in include]}
    return {"include": include}
