"""The hub's parquet files: which are there, whether all are, and their rows, whose pictures are read one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from suder_bench.data.embedded import ROWS, Cell, first_line, parquet_file
from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import Row, id_text
from suder_bench.evaluators.forms.tables import REFERENCE_LENGTH
from suder_bench.records import ImageSource

IMAGE = "image"
PLACE = "image at"
"""Where a row's picture is, in `rows`; the column itself is not read."""

SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(-[0-9a-f]+)?\.parquet")


def shards(data: Path, name: str, config: str, split: str) -> list[Path]:
    """The files of a split in order, below `data/name/hub`, `data/name` or `data`, laid out as the set on the hub is
    (`data/test-00000-of-00003.parquet`) or as the hub converts it (`default/test/0000.parquet`); [] where there are none.

    Raises `UserError` naming one that is missing.
    """
    for folder in (data / name / "hub", data / name, data):
        for found in (folder / config, folder / "data" if config == "default" else folder / config):
            files = sorted(found.glob(f"{split}-*.parquet")) or sorted((found / split).glob("*.parquet"))
            if files:
                return _whole(files)
    return []


def _whole(files: Sequence[Path]) -> list[Path]:
    parts = [(file, shard) for file in files if (shard := SHARD.fullmatch(file.name))]
    for file, shard in parts:
        there = {int(other[2]) for _, other in parts if (other[1], other[3]) == (shard[1], shard[3])}
        lost = [number for number in range(int(shard[3])) if number not in there]
        if lost:
            name = f"{shard[1]}-{lost[0]:05d}-of-{shard[3]}.parquet"
            raise UserError(
                f"{file.parent} lacks {name}{f' and {len(lost) - 1} more' if lost[1:] else ''}; get the whole set again"
            )
    return list(files)


def rows(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """Each row with its place, as a message starts. Its picture is not read: `PLACE` holds a `Cell`, or None where it has none.
    Of a column of texts the short ones are: they may refer to another row (`referred`).

    Raises `UserError` naming a file that cannot be read.
    """
    for file in files:
        opened, number = parquet_file(file), 0
        leaves = [opened.schema.column(i).path for i in range(len(opened.schema))]
        asked = [leaf for leaf in leaves if leaf != IMAGE and not (leaf.startswith(f"{IMAGE}.") and leaf.endswith("bytes"))]
        unseen = not any(leaf.startswith(f"{IMAGE}.") for leaf in asked)  # a column of bytes says nothing until it is read
        pictured = any(leaf.partition(".")[0] == IMAGE for leaf in leaves)
        if texts := IMAGE in leaves and str(opened.schema_arrow.field(IMAGE).type) in ("string", "large_string"):
            asked, unseen = leaves, False
        try:
            for batch in opened.iter_batches(ROWS if texts else 1024, columns=asked, use_threads=False):
                for row in batch.to_pylist():
                    there = pictured and (unseen or bool(row.get(IMAGE)))
                    if texts and len(row[IMAGE] or "") > REFERENCE_LENGTH:
                        row[IMAGE] = None
                    yield f"{file}: row {number + 1}", row | {PLACE: Cell(file, IMAGE, number) if there else None}
                    number += 1
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: cannot be read as parquet: {first_line(error)}; get the whole file again") from None


def referred(found: Sequence[tuple[str, Row]], key: str) -> list[tuple[str, Row]]:
    """The rows, where a picture that is the `key` of another row is that row's. Raises `UserError` for rows that refer to each
    other."""
    homes = {id_text(row.get(key)): row for _, row in found}
    done = []
    for place, row in found:
        home, seen = row, {id_text(row.get(key))}
        while isinstance(text := home.get(IMAGE), str) and (name := text.strip().removesuffix(".0")) in homes:
            if name in seen:
                raise UserError(f"{place}: its picture refers to row {name}, which has none")
            home = homes[name]
            seen.add(name)
        done.append((place, row | {PLACE: home[PLACE]}))
    return done


def named(picture: Any, name: str, place: str) -> ImageSource:
    """A row's picture under its own name; what is not there stands as a file below its place, which is never there."""
    return Cell(picture.file, picture.column, picture.row, name) if isinstance(picture, Cell) else Path(place.replace(": ", "/"))
