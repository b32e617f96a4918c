"""Files that survive a kill: JSON documents written in one piece, and append-only JSON lines that lose a torn line at most."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
    """Write `file` so that it is either the old one or the new one at any moment; `partial` must be on the same disk."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Two processes may write the same document: each its own part.
    partial = partial or file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Ledger:
    """A folder of append-only JSON-lines files, one writer per file; this process writes `writer`.jsonl."""

    folder: Path
    writer: str = "0"

    def rows(self) -> list[Row]:
        """All whole rows, file by file; torn and damaged lines are left out."""
        return [row for file in self._files() for _, row in _whole_lines(file.read_bytes())]

    def repair(self, keep: Callable[[Row], bool]) -> list[Row]:
        """Drop torn lines and the rows that `keep` declines, called once per row in order; returns what is left.

        A file that holds anything else is rewritten in one piece. Only the holder of the run's lock may call this.
        """
        left: list[Row] = []
        for file in self._files():
            content = file.read_bytes()
            kept = [(line, row) for line, row in _whole_lines(content) if keep(row)]
            repaired = b"".join(line + b"\n" for line, _ in kept)
            if repaired != content:
                replace_file(file, repaired)
            left.extend(row for _, row in kept)
        return left

    def append(self, rows: Iterable[Row]) -> None:
        """Add whole lines in one write. ASCII only, so that no character of an answer can be taken for a line's end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(plain(row), ensure_ascii=True, allow_nan=False) + "\n" for row in rows)
        with open(self.folder / f"{self.writer}.jsonl", "ab") as file:
            file.write(lines.encode("ascii"))

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[!.]*.jsonl"))


def _whole_lines(content: bytes) -> Iterator[tuple[bytes, Row]]:
    for line in content.split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield line, row
