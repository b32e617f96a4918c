"""The files of every official judge (`weights.csv`): where they are had, how large they are, their licence and their sha256.

A judge is the benchmark's own only with the very file, not with one of the same shapes. Where nobody has published a digest,
`sha256` is empty and `whence` says where it must come from: such a judge is official, its digest unknown. `published` says by
whom a digest is: its owner, several lists that know nothing of each other, or one alone, which may be mistaken.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zipfile import is_zipfile

from suder_bench.benchmark import Match
from suder_bench.data.catalogue import State, mirror
from suder_bench.data.source import cache as cache_folder
from suder_bench.errors import unknown
from suder_bench.models.digests import sha256

ZIP = b"PK\x03\x04"
"""A zip file, whose list of contents stands at its end."""

CHECKPOINT_BEGINS = (ZIP, b"\x80")
"""What torch writes: a zip file, or before torch 1.6 a pickle. An error page that came with status 200 is neither."""


@dataclass(frozen=True)
class Weight:
    """`folder/name` below the folder of weights, read by the official judges of `roles` (separated by spaces, as `same` is).

    `bytes` is None where it is known only roughly, `about`. `same` are the sha256 of other files with the same weights. The
    first file of a role holds its network's weights, the others what goes with them.
    """

    roles: str
    network: str
    folder: str
    name: str
    url: str
    licence: str
    bytes: int | None
    about: int
    sha256: str
    same: str
    whence: str
    published: str = "by several lists"

    @property
    def lone(self) -> bool:
        """Whether one list alone has the digest: a file that differs may be the official one all the same."""
        return self.published == "by one list"

    @property
    def size(self) -> int:
        return self.about if self.bytes is None else self.bytes

    @property
    def address(self) -> str:
        """`url`, or the same below the mirror, with its host's name as the first folder."""
        host, parts = mirror(), urlsplit(self.url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{host}/{parts.netloc}{parts.path}{query}" if host else self.url

    def place(self, weights: Path) -> Path:
        return weights / self.folder / self.name

    def state(self, weights: Path) -> State:
        """As `fault` says, but by the digest that was kept of the file where it is the same as then."""
        place = self.place(weights)
        if not place.is_file():
            return "missing"
        known = self.sha256 and self.bytes in (None, place.stat().st_size)
        right = sha256(place) == self.sha256 if known else self.fault(place) is None
        return "present" if right else "damaged"

    def fault(self, place: Path, found: str = "") -> str | None:
        """In what the file at `place` differs from the official one, or None; without a digest its ends must do.

        `found` is its sha256, for a caller who has read it."""
        size = place.stat().st_size
        if self.bytes not in (None, size):
            return f"{size:,} bytes instead of {self.bytes:,}"
        if self.sha256:
            found = found or digest(place)
            alone = ", which one list alone has published" if self.lone else ""
            return None if found == self.sha256 else f"sha256 {found[:12]} instead of {self.sha256[:12]}{alone}"
        with open(place, "rb") as opened:
            begins = opened.read(4)
        if not begins.startswith(CHECKPOINT_BEGINS):
            return "it is no checkpoint of torch"
        return "it is cut off" if begins.startswith(ZIP) and not is_zipfile(place) else None


Manifest = Sequence[Weight]


@cache
def official() -> Manifest:
    """Every file of every official judge."""
    table = files("suder_bench.evaluators.judges").joinpath("weights.csv").read_text(encoding="utf-8")
    rows: Iterator[dict[str, Any]] = csv.DictReader(table.splitlines())
    return tuple(
        Weight(**row | {"bytes": int(row["bytes"]) if row["bytes"] else None, "about": int(row["about"] or 0)}) for row in rows
    )


def of(role: str, manifest: Manifest | None = None) -> list[Weight]:
    """The files that the official judge of a role reads, its weights first. Raises `UserError` for a role without any."""
    found = [weight for weight in (official() if manifest is None else manifest) if role in weight.roles.split()]
    if not found:
        raise unknown("role with weights to fetch", role, roles())
    return found


def roles() -> list[str]:
    return list(dict.fromkeys(role for weight in official() for role in weight.roles.split()))


def folder() -> Path:
    """Where `suder-bench judges fetch` puts weights, and the official judges look for them."""
    return cache_folder() / "weights"


def match(role: str, file: Path | None, manifest: Manifest | None = None) -> Match:
    """How a file of weights stands to those of a role; None is for weights that are no single file."""
    if file is None:
        return "another file"
    for beside in of(role, manifest)[1:]:  # its vocabulary and configuration, where they lie with it
        place = file.with_name(beside.name)
        if beside.sha256 and place.is_file() and sha256(place) not in (beside.sha256, *beside.same.split()):
            return "another file"
    return compare(role, file.name, sha256(file), manifest)


def compare(role: str, name: str, found: str, manifest: Manifest | None = None) -> Match:
    """The same of a file of this name and sha256."""
    weights = of(role, manifest)
    if found in {known for weight in weights for known in (weight.sha256, *weight.same.split()) if known}:
        return "exact"
    return "digest unknown" if any(not weight.sha256 and weight.name == name for weight in weights) else "another file"


def digest(file: Path) -> str:
    """sha256 of a file, read anew."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
