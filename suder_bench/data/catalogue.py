"""The official files that can be fetched: whose they are, where they lie, and what they must hash to (`official.csv`).

Pictures that belong to questions, and tables that hold them, lie elsewhere and are in `owners`.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from suder_bench.errors import UserError, unknown

HOST = "https://raw.githubusercontent.com"
MIRROR = "SUDER_BENCH_MIRROR"
"""The environment variable with an address to ask instead of `HOST`; paths below it are the same."""

State = Literal["present", "missing", "damaged"]
FREE = ("MIT", "BSD-3-Clause", "Apache-2.0")
"""Licences that let everybody use and hand on a file; one under another is fetched only for a benchmark that was named."""

UNSTATED = "none stated"
TERMS = {
    UNSTATED: "none stated by its authors: use it, do not hand it on",
    "CC BY-NC 4.0": "CC BY-NC 4.0: not for commercial use, with its authors named",
}
"""Of the licences that need a word more."""


def mirror() -> str:
    """The address to ask instead, without a slash at its end, or "". Raises `UserError` for what is no address."""
    given = os.environ.get(MIRROR, "")
    try:
        parts = urlsplit(given)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an address of IPv6, or a port that is no number
        whole = False
    if given and not whole:
        raise UserError(f"{MIRROR}='{given}' is no address; give one such as https://mirror.example/files, or unset it")
    return given.rstrip("/")


@dataclass(frozen=True)
class OfficialFile:
    """One file of a benchmark, `folder/name` in a data folder; `bytes` and `sha256` are of its content at `commit`.

    `protocols` are those of the benchmark that read it, separated by spaces; every one for none.
    """

    folder: str
    name: str
    bytes: int
    licence: str
    repository: str
    commit: str
    path: str
    sha256: str
    protocols: str = ""

    def needed(self, protocol: str) -> bool:
        return not self.protocols or protocol in self.protocols.split()

    @property
    def benchmark(self) -> str:
        return self.folder.replace("_", "-")

    @property
    def terms(self) -> str:
        return TERMS.get(self.licence, self.licence)

    @property
    def free(self) -> bool:
        return self.licence in FREE

    @property
    def address(self) -> str:
        return f"{mirror() or HOST}/{self.repository}/{self.commit}/{self.path}"

    def place(self, data: Path) -> Path:
        """Where the file is, or would be put: in its benchmark's folder, or in `data` where that is this folder itself."""
        usual, direct = data / self.folder / self.name, data / self.name
        return direct if direct.is_file() and not usual.is_file() else usual

    def state(self, data: Path) -> State:
        place = self.place(data)
        if not place.is_file():
            return "missing"
        return "present" if self.fault(place) is None else "damaged"

    def fault(self, place: Path) -> str | None:
        """In what the file at `place` differs from the official one, or None."""
        size = place.stat().st_size
        if size != self.bytes:
            return f"{size:,} bytes instead of {self.bytes:,}"
        with open(place, "rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        return None if found == self.sha256 else f"sha256 {found[:12]} instead of {self.sha256[:12]}"


def catalogue() -> tuple[OfficialFile, ...]:
    """Every file, benchmark by benchmark."""
    table = files("suder_bench.data").joinpath("official.csv").read_text(encoding="utf-8")
    rows: Iterator[dict[str, Any]] = csv.DictReader(table.splitlines())
    return tuple(OfficialFile(**row | {"bytes": int(row["bytes"])}) for row in rows)


def official_files(benchmarks: Sequence[str], others: Collection[str] = ()) -> list[OfficialFile]:
    """The files of these benchmarks, of all for none named. Raises `UserError` for a benchmark without any, unless it is among
    `others`, which are had in another way."""
    known = {file.benchmark for file in catalogue()} | set(others)
    for name in benchmarks:
        if name not in known:
            raise unknown("benchmark with files to fetch", name, known)
    return [file for file in catalogue() if not benchmarks or file.benchmark in benchmarks]


def differing(benchmark: str, protocol: str, data: Path) -> str:
    """Which official file that scores rest on is another one in `data`, and in what; "" where all that are there are the same."""
    for file in catalogue():
        if file.benchmark == benchmark and file.needed(protocol) and "_train" not in file.name:
            place = file.place(data)
            if place.is_file() and (fault := file.fault(place)):
                return f"{file.name} has {fault}"
    return ""


def expected(files: Sequence[OfficialFile], data: Path) -> list[OfficialFile]:
    """Those of `files` that should be in a data folder: all that the default protocols read, and all of another protocol's where
    some are there."""
    there = {(file.folder, file.protocols) for file in files if file.place(data).is_file()}
    return [file for file in files if file.needed("official") or (file.folder, file.protocols) in there]
