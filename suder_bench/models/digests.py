"""sha256 of a checkpoint's files, large ones read once: their digests are kept in the user's cache, between processes.

A kept digest stands for a file while path, size, times and inode are what they were, and its header, first and last bytes too;
where any differs the file is read again. What cannot be kept is not: no command depends on it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from suder_bench.data.source import cache as cache_folder
from suder_bench.errors import UserError
from suder_bench.runs.jsonl import replace_file

LARGE = 8 * 1024**2
"""Bytes from which on a digest is kept; smaller files are read in milliseconds."""

END = 64 * 1024
"""Bytes at the begin and the end that are looked at each time."""

LONGEST_HEADER = 100_000_000
"""Bytes: no header of a safetensors file may be longer."""

FRESH = 2_000_000_000
"""Nanoseconds: a file changed so shortly ago may change again without another time, where a disk's times are coarse."""

MOST, MONTH = 1000, 30 * 24 * 3600.0
"""So many digests are kept, of a few hundred bytes each; and in seconds how long that of a file which is gone: its disk may be
back tomorrow."""

REHASH = "SUDER_BENCH_REHASH"
"""Environment variable that `--rehash` sets: read every file anew, in worker processes too."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """What tells a file from another, or from what it was before it was written again."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, file: Path) -> Identity:
        whole = file.resolve()
        stat = whole.stat()
        return cls(str(whole), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def anew() -> bool:
    """Whether kept digests are not to be trusted."""
    return os.environ.get(REHASH, "") not in ("", "0")


def sha256(file: Path) -> str:
    """Of a file's content, in hexadecimal, read at most once per process; with `--rehash`, where the digest that was kept of
    this very file is another, that is told."""
    return _sha256(Identity.of(file), anew())


@cache
def _sha256(file: Identity, anew: bool) -> str:
    if file.size < LARGE:
        return _read(file)
    about = looked_at(file)
    kept = _kept(about)
    if kept is not None and not anew:
        return kept
    settled = time.time_ns() - file.mtime_ns > FRESH
    found = _read(file)
    if kept is not None and kept != found:
        _log.warning(
            "suder-bench: %s: the digest that was kept of it, %s, was wrong: it is %s; runs since it was kept may name the wrong "
            "model",
            file.path,
            kept[:12],
            found[:12],
        )
    if settled and Identity.of(Path(file.path)) == file:
        # A cache that cannot be written, or a user without a home, keeps nothing.
        with suppress(OSError, RuntimeError, UserError):
            replace_file(_place(file.path), json.dumps({**about, "sha256": found}).encode())
            tidy(_place(file.path).parent)
    return found


def looked_at(file: Identity) -> dict[str, object]:
    """By what a file is known again, in values that JSON has."""
    return {**asdict(file), "ends": _ends(file)}


def _read(file: Identity) -> str:
    with Path(file.path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _ends(file: Identity) -> str:
    """sha256 of the first and last bytes, with a safetensors file's whole header between them."""
    with Path(file.path).open("rb") as stream:
        first = stream.read(END)
        header = 8 + int.from_bytes(first[:8], "little") if file.path.endswith(".safetensors") else 0
        looked = hashlib.sha256(first)
        looked.update(stream.read(max(0, min(header, LONGEST_HEADER) - len(first))))
        stream.seek(max(0, file.size - END))
        looked.update(stream.read())
    return looked.hexdigest()


def _place(path: str) -> Path:
    return entry_of(path, cache_folder() / "digests")


def entry_of(path: str, folder: Path) -> Path:
    """Where in `folder` something is kept of the file at `path`."""
    return folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"


def tidy(folder: Path) -> None:
    """Drop what is kept of files that are long gone, and of the others all but the newest."""
    ages = {entry: time.time() - entry.stat().st_mtime for entry in folder.iterdir()}
    newest = sorted(ages, key=lambda entry: ages[entry])
    for entry in newest[MOST:] + [entry for entry in newest[:MOST] if ages[entry] > MONTH and _is_gone(entry)]:
        entry.unlink(missing_ok=True)


def _is_gone(entry: Path) -> bool:
    try:
        return not os.path.exists(json.loads(entry.read_bytes())["path"])
    except (ValueError, KeyError, TypeError):  # no entry at all
        return True


def _kept(about: dict[str, object]) -> str | None:
    """The digest that was kept of this very file."""
    try:
        entry = json.loads(_place(str(about["path"])).read_bytes())
    except (OSError, ValueError, RuntimeError):
        return None
    found = entry.get("sha256") if isinstance(entry, dict) else None
    whole = isinstance(found, str) and re.fullmatch(r"[0-9a-f]{64}", found) is not None
    return found if whole and entry == {**about, "sha256": found} else None
