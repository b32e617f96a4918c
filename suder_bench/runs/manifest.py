"""manifest.json, written last of all: a sha256 of every file of a run but its pictures, whose digests are in its responses.

It says that a command came to its end, and which file was edited since, to the byte. It is no seal: whoever edits a file can
write it anew. What nobody can do without the model and the judges is to make responses and verdicts that come out again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError
from suder_bench.records import Response
from suder_bench.runs import signed
from suder_bench.runs.jsonl import Row, read_object
from suder_bench.runs.store import PARTS, RunFolder

FILE = "manifest.json"
SCHEMA = 1


def write(folder: RunFolder) -> None:
    """Of the folder as it is now; needs its lock."""
    pictures = drawn(folder)
    row: Row = {
        "schema": SCHEMA,
        "files": {name: _sha256(folder.path / name) for name in files(folder.path) if name not in pictures},
    }
    folder.write(FILE, {**row, "checksum": signed.checksum(row)})


def withdraw(folder: RunFolder) -> None:
    """Before anything is written: a manifest must not outlive what it lists."""
    (folder.path / FILE).unlink(missing_ok=True)


def differences(path: Path, pictures: set[str]) -> Iterator[tuple[str, str]]:
    """(file, what differs) between the manifest and the folder, in which `pictures` are judged by their responses.

    Raises `UserError` where there is no manifest.
    """
    try:
        content = (path / FILE).read_bytes()
    except OSError:
        raise UserError(f"{path / FILE} is not there") from None
    try:
        row = read_object(content)
        listed: dict[str, Any] = row["files"]
        whole = row["schema"] == SCHEMA and row["checksum"] == signed.checksum(row) and isinstance(listed, dict)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        yield FILE, "it was changed after it was written: its checksum is another's"
        return
    there = [name for name in files(path) if name not in pictures]
    for name in there:
        if name not in listed:
            yield name, f"it is no file of this run: {FILE} does not list it"
        elif _sha256(path / name) != listed[name]:
            yield name, f"it was changed after the run had ended: its sha256 is not the one in {FILE}"
    for name in sorted(listed.keys() - set(there)):
        yield name, f"it is missing: {FILE} lists it"


def drawn(folder: RunFolder) -> set[str]:
    """The pictures that lines of responses name."""
    found: set[str] = set()

    def take(response: Response) -> bool:
        if response.image is not None:
            found.add(response.image)
        return True

    for place in sorted(folder.path.glob("responses/*/")):
        folder.each_response(place.name, take, pictures=False)
    return found


def files(path: Path) -> list[str]:
    """What a run has written, in order, without its locks, what it remembers of pictures (images/.seen), and this manifest."""
    return sorted(_files(path))


def _files(path: Path) -> Iterator[str]:
    for part in PARTS:
        if part != FILE and (path / part).is_file():
            yield part
        for place, folders, names in os.walk(path / part):
            folders[:] = [name for name in folders if name[0] != "."]
            below = Path(place).relative_to(path).as_posix()
            yield from (f"{below}/{name}" for name in names if name[0] != "." and os.path.isfile(os.path.join(place, name)))


def _sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
