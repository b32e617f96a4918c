"""T2I-ReasonBench's file layout: `idiom_interpretation/0001.png`, a folder for each dimension."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from suder_bench.endings import is_picture
from suder_bench.errors import UserError
from suder_bench.records import Sample, Stranger

ENDINGS = (".png", ".jpg")
"""The last four characters of the files that the official script takes, if their name begins with a digit."""

_ID = re.compile(r"[0-9]{4}")


def image_path(dimension: str, number: int) -> str:
    return f"{dimension}/{number:04d}.png"


def find(folder: Path, dimension: str, samples: Mapping[int, Sample]) -> tuple[list[tuple[Sample, int, Path]], list[Stranger]]:
    """The pictures of a dimension, whose first four characters are the id; several of one are numbered in the order of their
    names. The second list holds the pictures with other endings, or names.

    Raises `UserError` for one that the official script takes, and stops at because its id is none.
    """
    found: list[tuple[Sample, int, Path]] = []
    strange: list[Stranger] = []
    made: dict[int, int] = {}
    for file in sorted(file for file in (folder / dimension).glob("*") if file.is_file()):
        if not (file.name[0].isdigit() and file.name.endswith(ENDINGS)):
            if is_picture(file):
                strange.append(Stranger(file, "its name is not <four digits>.png or .jpg"))
            continue
        if not _ID.match(file.name):
            raise UserError(f"{file}: the first four characters are no id; call it as in {dimension}/0007.png")
        number = int(file.name[:4])
        if number not in samples:
            raise UserError(f"{file}: {dimension} has no prompt {number}; its ids are 1 to {max(samples)}")
        found.append((samples[number], made.get(number, 0), file))
        made[number] = made.get(number, 0) + 1
    return found, strange
