"""WISE's prompts with what they mean, verified and as first published, in the official files, categories and ranges of ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from suder_bench.world.examples import Size, stream, write_text
from suder_bench.world.riddles import KNOWLEDGE, Riddle

QUICK = 10
"""Prompts in each category; officially so many as its ids allow, of which the world has what it has."""

NAMES = {
    "culture": "Cultural knowledge",
    "time": "time",
    "space": "Space",
    "biology": "Biology",
    "physics": "Physical Knowledge",
    "chemistry": "Chemistry",
}
FILES: Mapping[str, tuple[str, ...]] = {
    "cultural_common_sense": ("culture",),
    "spatio-temporal_reasoning": ("time", "space"),
    "natural_science": ("biology", "physics", "chemistry"),
}
VERIFIED = {"culture": (1, 400), "time": (401, 520), "space": (521, 640), "biology": (641, 760), "physics": (761, 880)}
VERIFIED |= {"chemistry": (881, 1000)}
LEGACY = {"culture": (1, 400), "time": (401, 567), "space": (568, 700), "biology": (701, 800), "physics": (801, 900)}
LEGACY |= {"chemistry": (901, 1000)}

Row = dict[str, str | int]


def write_verified(folder: Path, size: Size) -> None:
    for file, categories in FILES.items():
        rows = [row for name in categories for row in _rows("wise-verified", name, VERIFIED[name], size)]
        _write(folder / "data_verified" / f"{file}_verified.json", rows)


def write_legacy(folder: Path, size: Size) -> None:
    """Also the rewritten prompts, which say what is meant."""
    for file, categories in FILES.items():
        rows = [row for name in categories for row in _rows("wise-legacy", name, LEGACY[name], size)]
        _write(folder / "WISE_legacy" / "data" / f"{file}.json", rows)
        rewritten = [row | {"Prompt": row["Explanation"]} for row in rows]
        _write(folder / "WISE_legacy" / "data" / f"{file}_rewrite.json", rewritten)


def some(riddles: Sequence[Riddle], n: int, name: str, i: int) -> list[Riddle]:
    """`n` riddles, or all, by the stream of a benchmark's i-th part."""
    return [riddles[k] for k in stream(name, i).permutation(len(riddles))[:n]]


def _rows(benchmark: str, category: str, ids: tuple[int, int], size: Size) -> list[Row]:
    first, last = ids
    number = list(KNOWLEDGE).index(category)
    chosen = some(list(KNOWLEDGE[category]()), QUICK if size == "quick" else last - first + 1, benchmark, number)
    return [
        {
            "Prompt": riddle.prompt,
            "Explanation": riddle.meant,
            "Category": NAMES[category],
            "Subcategory": riddle.clue,
            "prompt_id": first + i,
        }
        for i, riddle in enumerate(chosen)
    ]


def _write(file: Path, rows: Sequence[Row]) -> None:
    write_text(file, json.dumps(rows, indent=2) + "\n")
