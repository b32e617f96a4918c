"""Pictures inside tables and parquet files, read one by one when they are looked at: a benchmark's pictures never lie in memory
all at once."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from os.path import isfile  # which says no of what can be no name, where Path.is_file raises
from pathlib import Path
from threading import Lock
from typing import Any, cast

from suder_bench.errors import PictureError, UserError, install
from suder_bench.records import Embedded

ROWS = 32
"""Rows of a parquet file whose pictures are decoded together: the most that are in memory for nothing."""

OPEN = 4
"""Parquet files that are kept open."""


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["damaged"])[0]


@dataclass(frozen=True)
class Encoded(Embedded):
    """A picture in base64 at the `length` bytes from `start` of a text file."""

    file: Path
    start: int
    length: int
    name: str = ""

    def __str__(self) -> str:
        return f"the picture at byte {self.start:,} of {self.file}"

    def read(self) -> bytes:
        try:
            with self.file.open("rb") as stream:
                stream.seek(self.start)
                return base64.b64decode(stream.read(self.length), validate=True)
        except (OSError, binascii.Error) as error:
            raise PictureError(f"{self} cannot be read ({error}); the file may have changed") from None

    @property
    def place(self) -> tuple[Path, str]:
        return self.file, f"{self.start}+{self.length}"

    def alone(self) -> bool:
        return True


@dataclass(frozen=True)
class Cell(Embedded):
    """A picture in a parquet file: `column` is a struct of bytes and path, as the hub has it, a list whose first item is one,
    bytes, base64 or a path beside the file. `row` counts from 0."""

    file: Path
    column: str
    row: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.column} of row {self.row:,} of {self.file}"

    def read(self) -> bytes:
        return self._content(self._value())

    @property
    def place(self) -> tuple[Path, str]:
        return self.file, f"{self.column}/{self.row}"

    def alone(self) -> bool:
        """Not where the cell holds the path of another file."""
        value = self._value()
        return isinstance(value, bytes) or (isinstance(value, str) and len(value) > _PATH)

    def _value(self) -> Any:
        try:
            value = _cursor(self.file, self.column).at(self.row)
        except (OSError, ValueError, IndexError) as error:
            raise PictureError(f"{self} cannot be read ({first_line(error)})") from None
        if isinstance(value, list):
            value = value[0] if value else None
        path = value.get("path") if isinstance(value, dict) else None
        found = value.get("bytes") if isinstance(value, dict) else value
        return path if found is None else found

    def _content(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str) or not value:
            raise PictureError(f"{self} holds no picture")
        try:
            place = self.file.parent / value if len(value) <= _PATH else None
            if place is not None and (isfile(place) or len(value) <= _SHORT):
                return place.read_bytes()
            return base64.b64decode(value, validate=True)
        except (OSError, ValueError) as error:  # a name with a zero in it is no path
            raise PictureError(f"{self} holds no picture that can be read ({error})") from None


_SHORT, _PATH = 64, 1024
"""A text of at most the former number of characters is a path, of more than the latter a picture in base64, and in between a
path if a file is there."""


class _Cursor:
    """One column of a parquet file; reading row after row decodes each once, and going back starts at the row's group."""

    def __init__(self, file: Path, column: str) -> None:
        self._file, self._column, self._lock = parquet_file(file), column, Lock()
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._starts = [sum(sizes[:group]) for group in range(len(sizes) + 1)]
        self._batches: Iterator[Any] = iter(())
        self._start, self._values = len(self), cast(Sequence[Any], [])  # so that the first row wanted is a turn back

    def __len__(self) -> int:
        return self._starts[-1]

    def at(self, row: int) -> Any:
        with self._lock:
            if not self._start <= row < self._ahead:
                self._turn(row)
            while row >= self._start + len(self._values):
                self._start += len(self._values)
                batch = next(self._batches, None)
                if batch is None:
                    raise IndexError(f"there are {len(self):,} rows")
                self._values = batch.column(0)
            return self._values[row - self._start].as_py()

    @property
    def _ahead(self) -> int:
        """Where going on is dearer than starting at another group of rows: the end of this one, and a batch more."""
        group_end = next((start for start in self._starts if start > self._start), 0)
        return max(group_end, self._start + len(self._values)) + ROWS

    def _turn(self, row: int) -> None:
        group = max(number for number, start in enumerate(self._starts) if start <= row)
        if group >= len(self._starts) - 1:
            raise IndexError(f"there are {len(self):,} rows")
        rest = list(range(group, len(self._starts) - 1))
        self._batches = self._file.iter_batches(ROWS, row_groups=rest, columns=[self._column], use_threads=False)
        self._start, self._values = self._starts[group], []


@lru_cache(OPEN)
def _opened(file: Path, column: str, stamp: tuple[int, int]) -> _Cursor:
    return _Cursor(file, column)


def _cursor(file: Path, column: str) -> _Cursor:
    status = file.stat()
    return _opened(file, column, (status.st_size, status.st_mtime_ns))


def parquet_file(file: Path) -> Any:
    """The opened file. Raises `UserError` naming it where it is no parquet file, and the extra where pyarrow is not installed."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise UserError(f"{file}: reading .parquet needs pyarrow: {install('parquet')}") from None
    try:
        return parquet.ParquetFile(file, memory_map=True, pre_buffer=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as parquet: {first_line(error)}; get the whole file again") from None
