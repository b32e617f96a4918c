"""Files that survive a kill: JSON documents written in one piece, and append-only JSON lines that lose a torn line at most."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench import partial as partials
from suder_bench.errors import REFUSALS, refused

Row = dict[str, Any]


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: numpy numbers and arrays as Python's, paths as text, NaN and infinities as None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value


def document(value: Any) -> str:
    """A JSON document for people and programs: indented, keys in the order given, no NaN."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def replace_file(file: Path, content: bytes, *, partial: Path | None = None) -> None:
    """Write `file` so that it is either the old one or the new one at any moment; `partial` must be on the same disk.

    Raises `DiskError` where it cannot be written; then the old one is untouched.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = partial or partials.beside(file)
        partial.write_bytes(content)
        os.replace(partial, file)
    except BaseException as error:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in REFUSALS:
            raise refused(error, file) from None
        raise


def read_object(content: bytes | str) -> Row:
    """A JSON object. Raises `ValueError` for anything else, in one line."""
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it holds no object")
    return value


def number(value: object) -> float | None:
    """A finite number as float; None for anything else that JSON may hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        return None
    return float(value)


@dataclass(frozen=True)
class Line:
    """A line of a ledger that is not empty. `row` is None where it holds no JSON object."""

    file: Path
    number: int
    content: bytes
    row: Row | None

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.number}"


@dataclass(frozen=True)
class Ledger:
    """A folder of append-only JSON-lines files, one writer per file; this process writes `writer`.jsonl."""

    folder: Path
    writer: str = "0"

    def rows(self) -> list[Row]:
        """All whole rows, file by file; torn and damaged lines are left out."""
        return [line.row for line in self.lines() if line.row is not None]

    def lines(self) -> Iterator[Line]:
        """All lines, file by file, but for the last one of a file where a kill has torn it."""
        for file in self._files():
            yield from _lines(file, file.read_bytes())

    def repair(self, keep: Callable[[Row], bool]) -> list[Row]:
        """Drop torn lines and the rows that `keep` declines, called once per row in order; returns what is left."""
        kept = [line for line in self.lines() if line.row is not None and keep(line.row)]
        self.rewrite(kept)
        return [line.row for line in kept if line.row is not None]

    def rewrite(self, kept: Iterable[Line], *, own: bool = False) -> None:
        """Leave only these of the `lines` on disk, or with `own` in the file of this writer. Only the holder of the run's lock
        may call this, or with `own` the writer.

        A file that holds anything else is rewritten in one piece.
        """
        left: dict[Path, list[bytes]] = {file: [] for file in self._files() if not own or file.stem == self.writer}
        for line in kept:
            if line.file in left:
                left[line.file].append(line.content + b"\n")
        for file, lines in left.items():
            if (repaired := b"".join(lines)) != file.read_bytes():
                replace_file(file, repaired)

    def append(self, rows: Iterable[Row]) -> None:
        """Add whole lines in one write. ASCII only, so that no character of an answer can be taken for a line's end.

        Raises `DiskError` where the disk refuses; what it took of the lines is torn, and dropped by the next `repair`.
        """
        lines = "".join(json.dumps(plain(row), ensure_ascii=True, allow_nan=False) + "\n" for row in rows)
        file = self.folder / f"{self.writer}.jsonl"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(file, "ab") as opened:
                opened.write(lines.encode("ascii"))
        except OSError as error:
            raise refused(error, file) from None

    def _files(self) -> list[Path]:
        return sorted(file for file in self.folder.glob("[!.]*.jsonl") if file.is_file())


def _lines(file: Path, content: bytes) -> Iterator[Line]:
    parts = content.split(b"\n")
    for number, part in enumerate(parts, 1):
        if not part.strip():
            continue
        try:
            row = read_object(part)
        except ValueError:
            if number == len(parts):  # torn
                continue
            row = None
        yield Line(file, number, part, row)
