"""VLMEvalKit's tables of questions, whose pictures stand in cells and are read from there one by one."""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import sys
from collections.abc import Iterator, Mapping
from os.path import isfile  # which says no of what can be no name, where Path.is_file raises
from pathlib import Path

from suder_bench.data.embedded import Encoded
from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import Row
from suder_bench.evaluators.answers.tables import delimiter, headed, table
from suder_bench.records import ImageSource

REFERENCE_LENGTH = 64
"""A picture cell of at most this many characters is the index of the row that holds the picture, or the path of its file."""

PATH_LENGTH = 1024
"""No picture cell with more characters is looked for as a file."""

PICTURE, PATH, INDEX = "image", "image_path", "index"
CONTENT = "image content"
"""The digest of a row's picture, which `pictured` adds: rows that repeat a picture have the same."""

ASKED = " Please answer yes or no."
"""What VLMEvalKit's tables add to questions."""


def pictured(file: Path, *columns: str) -> Iterator[Row]:
    """The rows of `table`, where a picture in the column "image" is an `Encoded`, or its bytes in a workbook (cells are small).

    Raises `UserError` with file and row for what is no table, and for a picture that is not base64.
    """
    if file.suffix.lower() == ".xlsx":
        for row in table(file, INDEX, *columns):
            if len(cell := row.get(PICTURE, "")) > REFERENCE_LENGTH and not _is_path(cell, file):
                row[PICTURE] = _decoded(cell, row, file)
                row[CONTENT] = hashlib.sha256(row[PICTURE]).hexdigest()
            yield row
        return
    places: list[tuple[int, bytes]] = []
    for row in headed(file, _placed(file, places), INDEX, *columns):
        start, lines = places[-1]
        del places[:]
        if len(cell := row.get(PICTURE, "")) > REFERENCE_LENGTH and not _is_path(cell, file):
            row[CONTENT] = hashlib.sha256(_decoded(cell, row, file)).hexdigest()
            row[PICTURE] = Encoded(file, start + lines.index(cell.encode()), len(cell))
        yield row


def by_index(rows: Iterator[Row], file: Path) -> dict[str, Row]:
    """The rows by the text of their index. Raises `UserError` where one is used twice, and for a table without rows."""
    found: dict[str, Row] = {}
    for row in rows:
        name = row[INDEX].strip().removesuffix(".0")
        if name in found:
            raise UserError(f"{file}: index {name} is used twice")
        found[name] = row
    return found


class Pictures:
    """The pictures of a table's rows. Rows that repeat a picture, or refer to another row's, share one."""

    def __init__(self, rows: Mapping[str, Row], file: Path) -> None:
        self._rows, self._file = rows, file
        self._numbers: dict[str, int] = {}
        self._known: dict[str, ImageSource] = {}

    def of(self, name: str) -> ImageSource:
        """The picture of the row `name`, through references, or the file that its cell or its column "image_path" names.

        One that is nowhere stands as a file below the table, which is never there. Raises `UserError` for a reference to a row
        that has none.
        """
        row = self._rows[self._home(name)]
        picture = row.get(PICTURE)
        if picture and not isinstance(picture, str):
            return self._known.setdefault(row[CONTENT], picture)
        path = picture or row.get(PATH)
        return _beside(self._file, path) if path else self._file / f"index {row[INDEX]}"

    def named(self, name: str) -> tuple[str, ImageSource]:
        """The picture with a name for it: its own, or its number among the table's pictures."""
        found = self.of(name)
        if isinstance(found, Path):
            return found.name, found
        content = self._rows[self._home(name)][CONTENT]
        return f"picture {self._numbers.setdefault(content, len(self._numbers) + 1)}", found

    def _home(self, name: str) -> str:
        """The row that `name` leads to by its references, which has no reference."""
        home, seen = name, {name}
        while isinstance(cell := self._rows[home].get(PICTURE), str) and cell:
            if (target := cell.strip().removesuffix(".0")) not in self._rows and _is_path(cell, self._file):
                return home
            if target not in self._rows or target in seen:
                raise UserError(f"{self._file}: index {name}: its picture refers to row {target}, which has none")
            home = target
            seen.add(home)
        return home


def _is_path(cell: str, file: Path) -> bool:
    """Whether a picture cell names a file that is there."""
    return len(cell) <= PATH_LENGTH and isfile(_beside(file, cell))


def _beside(file: Path, path: str) -> Path:
    """Where VLMEvalKit puts the pictures that its tables name: `images/TABLE/` beside the table."""
    places = [file.parent / path, file.parent / "images" / file.stem / path, file.parent / "images" / path]
    return next((place for place in places if isfile(place)), places[1])


def _decoded(cell: str, row: Row, file: Path) -> bytes:
    try:
        return base64.b64decode(cell, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{file}: index {row[INDEX]}: the picture is not base64: {error}") from None


def _placed(file: Path, places: list[tuple[int, bytes]]) -> Iterator[list[str]]:
    """The cells of each record; `places` gets where its lines begin in the file, and these."""
    csv.field_size_limit(sys.maxsize)
    lines: list[bytes] = []
    start = end = 0

    def read() -> Iterator[str]:
        nonlocal end
        for line in stream:
            lines.append(line)
            end += len(line)
            yield line.decode("utf-8-sig" if end == len(line) else "utf-8")

    try:
        with file.open("rb") as stream:
            for cells in csv.reader(read(), delimiter=delimiter(file)):
                places.append((start, b"".join(lines)))
                lines.clear()
                start = end
                if cells:
                    yield cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as a table: {error}") from None
