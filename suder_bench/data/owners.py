"""What the pinned files of `official.csv` lack: pictures, and tables that hold them, at their owners' own addresses.

`materials.csv` says where each is, how large, under which licence, and where it goes; `owners.csv` which of them can be fetched
file by file. Only MMBench's have a published checksum (VLMEvalKit's); the others lie at a commit's address, or are COCO's own.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from suder_bench.data.catalogue import State, mirror
from suder_bench.errors import UserError

HUB = "huggingface.co"
COCO = "http://images.cocodataset.org/val2014/"
MOST = 1 << 28
"""Bytes of the largest answer that is taken for one of these files; the largest known is 37 MB."""

_BEGINNINGS = {".jpg": b"\xff\xd8", ".json": b"{", ".jsonl": b"{"}
"""Of the content, by ending: an error page that came with status 200 is none."""


@dataclass(frozen=True)
class Material:
    """Something that a benchmark is about. `folder` is below the benchmark's own; `way` is how it gets there: from its owner,
    from the hub (`data.hub`), or by hand."""

    benchmark: str
    protocols: str
    what: str
    folder: str
    address: str
    size: str
    licence: str
    way: Literal["fetch", "hub", "hand"]

    def needed(self, protocol: str) -> bool:
        return not self.protocols or protocol in self.protocols.split()

    def place(self, data: Path) -> Path:
        return data / self.benchmark / self.folder

    def there(self, data: Path) -> bool:
        """Whether it seems to be in `data`: every file that could be fetched, or anything in a folder of the benchmark's."""
        if self.way == "fetch":
            files = owners_files([self.benchmark], data, (self.protocols.split() or ["official"])[0])
            return bool(files) and all(file.state(data) == "present" for file in files)
        return any(inner.is_file() for inner in (data / self.benchmark).glob("*/**/*"))

    @property
    def told(self) -> str:
        return f"{self.what}: {self.address} (size: {self.size}; licence: {self.licence})"


@dataclass(frozen=True)
class OwnersFile:
    """A file that can be fetched from `url` into `folder/name` of a data folder. Its size is not known beforehand."""

    folder: str
    name: str
    url: str
    md5: str = ""
    protocols: str = ""

    @property
    def benchmark(self) -> str:
        return self.folder

    @property
    def bytes(self) -> None:
        return None

    @property
    def terms(self) -> str:
        return ""

    @property
    def address(self) -> str:
        """`url`, or the same below the mirror, with its host's name as the first folder; of the hub's what $HF_ENDPOINT says."""
        host, parts = mirror(), urlsplit(self.url)
        hub = os.environ.get("HF_ENDPOINT", "").rstrip("/")
        if hub and parts.netloc == HUB:
            return f"{hub}{parts.path}"
        return f"{host}/{parts.netloc}{parts.path}" if host else self.url

    def place(self, data: Path) -> Path:
        usual, direct = data / self.folder / self.name, data / self.name
        return direct if direct.is_file() and not usual.is_file() else usual

    def state(self, data: Path) -> State:
        place = self.place(data)
        if not place.is_file():
            return "missing"
        return "present" if self.fault(place) is None else "damaged"

    def fault(self, place: Path) -> str | None:
        """Why the file at `place` cannot be the owner's, or None; without a checksum only its size and beginning tell."""
        size, begins = place.stat().st_size, _BEGINNINGS.get(Path(self.name).suffix, b"")
        if not 0 < size <= MOST:
            return f"{size:,} bytes"
        with open(place, "rb") as opened:
            if opened.read(len(begins)) != begins:
                return f"it is no {Path(self.name).suffix} file"
            opened.seek(0)
            found = hashlib.file_digest(opened, "md5").hexdigest() if self.md5 else ""
        return None if found == self.md5 else f"md5 {found[:12]} instead of {self.md5[:12]}"


def materials(benchmarks: Sequence[str] = ()) -> list[Material]:
    """Of these benchmarks, of all for none named."""
    found = [Material(**row) for row in _rows("materials.csv")]  # type: ignore[arg-type]
    return [one for one in found if not benchmarks or one.benchmark in benchmarks]


def owners_files(benchmarks: Sequence[str], data: Path, protocol: str = "official") -> list[OwnersFile]:
    """Those of these benchmarks, of all for none named, that the protocol reads, or the official one where no other's are there
    to fetch. POPE's pictures are those that its questions in `data` name."""
    listed = [OwnersFile(**row) for row in _rows("owners.csv")]
    asked = _asked_about(data) if not benchmarks or "pope" in benchmarks else []
    offering = {file.folder for file in listed if protocol in file.protocols.split()}
    own = [
        file
        for file in listed
        if not file.protocols or (protocol if file.folder in offering else "official") in file.protocols.split()
    ]
    return [file for file in own if not benchmarks or file.benchmark in benchmarks] + asked


def wanting(benchmark: str, data: Path, protocol: str = "official") -> str:
    """For the end of an error: where what the benchmark's folder in `data` lacks is to be had, and how."""
    told = []
    for one in materials([benchmark]):
        if one.needed(protocol):
            way = f"put into {one.place(data)}" if one.way == "hand" else f"{command(one, protocol, data)} brings"
            told.append(f"{way} {one.told}")
    return "; ".join(told)


def command(one: Material, protocol: str = "official", data: Path | None = None) -> str:
    """What fetches it, by its first protocol where it is none of `protocol`'s."""
    protocol = protocol if one.needed(protocol) else one.protocols.split()[0]
    other = f" --protocol {protocol}" if one.protocols and protocol != "official" else ""
    hub = " --hub" if one.way == "hub" else ""
    return f"suder-bench data fetch {one.benchmark} --pictures{hub}{other}" + (f" --data {data}" if data is not None else "")


def _asked_about(data: Path) -> list[OwnersFile]:
    """The COCO pictures of POPE's questions, A-OKVQA's tracks among them. Raises `UserError` where they cannot be read."""
    names: dict[str, None] = {}
    for file in sorted({*(data / "pope").glob("*_pope_*.json"), *data.glob("*_pope_*.json")}):
        try:
            text = file.read_text(encoding="utf-8").strip()
            rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]
            names |= dict.fromkeys(str(row["image"]) for row in rows)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} cannot be read ({error}); get it again with suder-bench data fetch pope --replace") from None
    coco = [name for name in names if name.startswith("COCO_val2014_") and name.endswith(".jpg") and "/" not in name]
    return [OwnersFile("pope", f"images/{name}", COCO + name) for name in coco]


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(files("suder_bench.data").joinpath(name).read_text(encoding="utf-8").splitlines()))
