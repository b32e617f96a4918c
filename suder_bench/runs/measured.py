"""Sizes and digests of pictures inside parquet files and tables: they are read for them once, and kept in the user's cache.

What was kept stands for a file while it is what it was (`models.digests`); with `--rehash` all is read anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from suder_bench.data.source import cache
from suder_bench.errors import UserError
from suder_bench.models.digests import FRESH, Identity, anew, entry_of, looked_at, tidy
from suder_bench.records import Embedded
from suder_bench.runs.jsonl import replace_file

Fact = TypeVar("Fact", int, str)


class _File:
    """What is known of the pictures of one file, under the names of their places in it."""

    def __init__(self, file: Path) -> None:
        self._identity = Identity.of(file)
        self._about = looked_at(self._identity)
        self._place = entry_of(self._identity.path, cache() / "pictures")
        self.known = {} if anew() else self._kept()
        self.grown = False

    def _kept(self) -> dict[str, int | str]:
        try:
            entry = json.loads(self._place.read_bytes())
            known = entry.pop("pictures")
            whole = all(isinstance(fact, int | str) for fact in known.values())
        except (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError):
            return {}
        return known if whole and entry == self._about else {}

    def keep(self) -> None:
        if not self.grown or time.time_ns() - self._identity.mtime_ns <= FRESH:
            return
        with suppress(OSError, RuntimeError, UserError):  # a cache that cannot be written keeps nothing
            if Identity.of(Path(self._identity.path)) == self._identity:
                replace_file(self._place, json.dumps({**self._about, "pictures": self.known}).encode())
                tidy(self._place.parent)


class Measures:
    """Facts of pictures; those that were found are kept by `keep`."""

    def __init__(self) -> None:
        self._files: dict[Path, _File] = {}

    def size(self, picture: Embedded) -> int:
        """Bytes of the encoded picture. Raises `PictureError` where it cannot be read."""
        return self._fact(picture, int, len)

    def sha256(self, picture: Embedded) -> str:
        """Of the encoded picture, in hexadecimal. Raises `PictureError` where it cannot be read."""
        return self._fact(picture, str, lambda content: hashlib.sha256(content).hexdigest())

    def keep(self) -> None:
        for file in self._files.values():
            file.keep()

    def _fact(self, picture: Embedded, kind: type[Fact], find: Callable[[bytes], Fact]) -> Fact:
        file, place = self._file(picture), picture.place
        if file is None or place is None:
            return find(picture.read())
        name = f"{kind.__name__} {place[1]}"
        known = file.known.get(name)
        if isinstance(known, kind):
            return known
        fact = find(picture.read())
        if picture.alone():
            file.known[name], file.grown = fact, True
        return fact

    def _file(self, picture: Embedded) -> _File | None:
        if picture.place is None:
            return None
        file, _ = picture.place
        try:
            return self._files.get(file) or self._files.setdefault(file, _File(file))
        except OSError:  # whoever reads the picture says why
            return None
