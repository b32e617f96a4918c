"""Files that survive a kill: JSON documents written in one piece, and append-only JSON lines that lose a torn line at most."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from suder_bench import partial as partials
from suder_bench.errors import REFUSALS, refused

Row = dict[str, Any]

ALONE = "0"
"""The name of the only writer."""

BLOCK = 1024
"""Lines looked at together."""


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: numpy numbers and arrays as Python's, paths as text, NaN and infinities as None."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is list or kind is tuple:
        return [plain(item) for item in value]
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


class Line(NamedTuple):
    """A line of a ledger that is not empty."""

    file: Path
    number: int
    content: bytes

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.number}"

    def row(self) -> Row | None:
        """What the line holds, read anew at each call; None where it is no JSON object."""
        try:
            return read_object(self.content.decode("ascii"))
        except ValueError:
            pass
        try:
            return read_object(self.content)
        except ValueError:
            return None


@dataclass(frozen=True)
class Ledger:
    """A folder of append-only JSON-lines files, one writer per file; this process writes `writer`.jsonl."""

    folder: Path
    writer: str = ALONE

    def rows(self) -> list[Row]:
        """All whole rows, file by file; torn and damaged lines are left out."""
        return [row for line in self.lines() if (row := line.row()) is not None]

    def lines(self) -> Iterator[Line]:
        """All lines, file by file and one at a time, but for the last one of a file where a kill has torn it."""
        for file in self._files():
            yield from _lines(file)

    def repair(self, keep: Callable[[Row], bool]) -> list[Row]:
        """Drop torn lines and the rows that `keep` declines, called once per row in order; returns what is left."""
        kept: list[Row] = []

        def keeps(line: Line) -> bool:
            row = line.row()
            if row is None or not keep(row):
                return False
            kept.append(row)
            return True

        self.sift(lambda lines: map(keeps, lines))
        return kept

    def sift(self, keep: Callable[[Sequence[Line]], Iterable[bool]], *, repair: bool = True) -> bool:
        """Leave only the `lines` that `keep` keeps, called for all in order, some at a time; returns whether these are all.

        With `repair` a file that holds anything else is rewritten in one piece, which needs the run's lock; one of several
        writers rewrites its own alone.
        """
        whole = True
        for file in self._files():
            dropped, size = set(), 0
            for lines in blocks(_lines(file)):
                for line, kept in zip(lines, keep(lines), strict=True):
                    if kept:
                        size += len(line.content) + 1
                    else:
                        dropped.add(line.number)
            if not _is_of(file, size):
                whole = False
                if repair and self.writer in (ALONE, file.stem):
                    replace_file(file, b"".join(line.content + b"\n" for line in _lines(file) if line.number not in dropped))
        return whole

    def append(self, rows: Iterable[Row]) -> None:
        """Add whole lines in one write. ASCII only, so that no character of an answer can be taken for a line's end.

        Raises `DiskError` where the disk refuses; what it took of the lines is torn, and dropped by the next `repair`.
        """
        self.append_lines(json.dumps(plain(row), ensure_ascii=True, allow_nan=False) for row in rows)

    def append_lines(self, lines: Iterable[str]) -> None:
        """`append` for JSON that is written already, in ASCII."""
        content = "".join(f"{line}\n" for line in lines).encode("ascii")
        file = self.folder / f"{self.writer}.jsonl"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(file, "a+b") as opened:
                if opened.seek(0, os.SEEK_END):
                    opened.seek(-1, os.SEEK_END)
                    if opened.read(1) != b"\n":  # a kill or a full disk tore the line before; it must not take this one along
                        content = b"\n" + content
                opened.write(content)
        except OSError as error:
            raise refused(error, file) from None

    def stamp(self) -> tuple[object, ...]:
        """Changes with the files."""
        return tuple((file.name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for file in self._files() if (stat := file.stat()))

    def _files(self) -> list[Path]:
        return sorted(file for file in self.folder.glob("[!.]*.jsonl") if file.is_file())


def blocks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while some := list(islice(lines, BLOCK)):
        yield some


def _lines(file: Path) -> Iterator[Line]:
    with open(file, "rb") as opened:
        for number, part in enumerate(opened, 1):
            whole = part.endswith(b"\n")
            line = Line(file, number, part[:-1] if whole else part)
            if not part.isspace() and (whole or line.row() is not None):
                yield line


def _is_of(file: Path, size: int) -> bool:
    """Whether a file has this size and ends with a line's end: then no more than lines of that size are in it."""
    with open(file, "rb") as opened:
        if opened.seek(0, os.SEEK_END) != size:
            return False
        opened.seek(max(0, size - 1))
        return opened.read() in (b"\n", b"")
