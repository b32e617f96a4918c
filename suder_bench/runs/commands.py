"""commands/*.jsonl of a run folder: each command that worked on it, with its words, times, code, packages and machine.

Beside run.json, and not in it: a run that was stopped and went on, or was made again elsewhere, has the same recipe and the same
summary, byte by byte. Two lines a command, since a killed one has no end.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suder_bench.called import command
from suder_bench.runs import provenance, signed
from suder_bench.runs.jsonl import Ledger, Row, plain
from suder_bench.runs.store import RunFolder

FOLDER = "commands"

_PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_SECRET = re.compile(r"((?:key|token|secret|password)=)[^&\s]+", re.IGNORECASE)


def begin(folder: RunFolder) -> None:
    """Note the command that this process is at work on, or, in a program that uses this package, that it is at work."""
    given = command()
    row = {
        "command": secrets.token_hex(6),
        "words": None if given is None else ["suder-bench", *map(_shown, given.words)],
        "began": _time(datetime.now(UTC) if given is None else given.began),
        "code": provenance.code(),
        "host": provenance.host(),
        "packages": provenance.packages(),
    }
    _append(folder, row)


def end(folder: RunFolder, *, complete: bool) -> None:
    """Note that the last command that this writer has begun is done, and whether nothing failed."""
    own = [line.row() for line in _ledger(folder).lines() if line.file.stem == folder.writer]
    begun = [row for row in own if row is not None and "began" in row]
    if begun:
        _append(folder, {"command": begun[-1]["command"], "ended": _time(datetime.now(UTC)), "complete": complete})


def read(path: Path) -> list[Row]:
    """The commands in the order in which they began, each with its end where it has come to one; edited lines are left out."""
    found: dict[Any, Row] = {}
    for line in Ledger(path / FOLDER).lines():
        row = line.row() if signed.stands(line.content) else None
        if row is not None and isinstance(row.get("command"), str):
            found.setdefault(row["command"], {}).update({name: value for name, value in row.items() if name != "checksum"})
    return sorted((row for row in found.values() if "began" in row), key=lambda row: str(row["began"]))


def _append(folder: RunFolder, row: Row) -> None:
    _ledger(folder).append_lines([signed.line(plain(row))])


def _ledger(folder: RunFolder) -> Ledger:
    return Ledger(folder.path / FOLDER, folder.writer)


def _shown(word: str) -> str:
    """A word without the name of the user's home, and without what opens doors."""
    home = str(Path.home())
    if len(home) > 1:
        word = re.sub(rf"{re.escape(home)}(?=$|/)", "~", word)
    return _SECRET.sub(r"\1***", _PASSWORD.sub("***", word))


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
