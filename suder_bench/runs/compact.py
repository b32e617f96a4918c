"""Verdicts of a large run in little memory: what many of them share is held once, and details as the text they were read from."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from suder_bench.records import Verdict
from suder_bench.runs import scanned, shapes
from suder_bench.runs.jsonl import Row

MOST_SHARED = 4096
"""Distinct scores, or reasons, that are remembered: measured values are all different, right and wrong are not."""

_ORDER = ("correct", "details", "digest", "judges", "reason", "repeat", "sample", "scores", "checksum")
_START, _END = b'"details": ', b', "digest": "'
_CORRECT = {b"true": True, b"false": False, b"null": None}
_ARE_SCORES = shapes.fits(shapes.VERDICT["scores"])


class Details(Mapping[str, Any]):
    """A JSON object that is read whenever it is looked at."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __getitem__(self, name: str) -> Any:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._content)
        return found


class Compact:
    """Makes the verdicts of one reading."""

    def __init__(self) -> None:
        self._scores: dict[tuple[tuple[str, float | None], ...], dict[str, float]] = {}
        self._reasons: dict[str, str] = {}
        self._scanned: dict[bytes, Mapping[str, float]] = {}

    def scanned(self, benchmark: str, found: re.Match[bytes]) -> Verdict | None:
        """The verdict of a line that `scanned.verdict` has matched and whose checksum is its own; None where its scores are of
        another shape."""
        correct, details, digest, _, reason, repeat, sample, content = found.groups()
        scores = self._scanned.get(content)
        if scores is None:
            read = json.loads(content)
            if not _ARE_SCORES(read):
                return None
            scores = self._shared(read)
            if len(self._scanned) < MOST_SHARED:
                self._scanned[content] = scores
        return Verdict(
            benchmark,
            sys.intern(sample.decode()),
            int(repeat),
            digest.decode(),
            scores,
            _CORRECT[correct],
            self._told(scanned.string(reason)),
            Details(details),
        )

    def verdict(self, benchmark: str, row: Row, content: bytes) -> Verdict:
        """The verdict of a line and the row that it holds; a score that is null there is NaN here."""
        return Verdict(
            benchmark=benchmark,
            sample=sys.intern(row["sample"]),
            repeat=row["repeat"],
            digest=row["digest"],
            scores=self._shared(row["scores"]),
            correct=row["correct"],
            reason=self._told(row["reason"]),
            details=_details(row, content),
        )

    def _told(self, reason: str) -> str:
        known = self._reasons
        return known.setdefault(reason, reason) if len(known) < MOST_SHARED else known.get(reason) or reason

    def _shared(self, scores: Mapping[str, float | None]) -> Mapping[str, float]:
        key = tuple(scores.items())
        found = self._scores.get(key)
        if found is None:
            found = {name: math.nan if value is None else float(value) for name, value in key}
            if len(self._scores) < MOST_SHARED:
                self._scores[key] = found
        return found


def _details(row: Row, content: bytes) -> Mapping[str, Any]:
    """As the text that the line holds of them, where its keys are in the order in which they are written."""
    if tuple(row) != _ORDER or content.count(_START) != 1:
        return row["details"]  # type: ignore[no-any-return]
    return Details(content[content.find(_START) + len(_START) : content.rfind(_END)])
