"""Verdicts of a large run in little memory: what many of them share is held once, and details as the text they were read from."""

from __future__ import annotations

import json
import math
import re
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from typing import Any, overload

from suder_bench.records import Sample, Verdict
from suder_bench.runs import scanned, shapes
from suder_bench.runs.jsonl import Row, plain

MOST_SHARED = 4096
"""Distinct scores, or reasons, that are remembered: measured values are all different, right and wrong are not."""

SPOOLED = 16 << 20
"""Bytes of details that are held in memory before they go to a temporary file."""

_WORDS = (None, False, True)
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

    @property
    def content(self) -> bytes:
        return self._content

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.content)
        return found


class _Spooled(Details):
    """Details that `Filed` holds."""

    __slots__ = ("_filed", "_place")

    def __init__(self, filed: Filed, place: int) -> None:
        self._filed, self._place = filed, place

    @property
    def content(self) -> bytes:
        return self._filed.details(self._place)


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
            scores = self.shared(read)
            if len(self._scanned) < MOST_SHARED:
                self._scanned[content] = scores
        return Verdict(
            benchmark,
            sys.intern(sample.decode()),
            int(repeat),
            digest.decode(),
            scores,
            _CORRECT[correct],
            self.told(scanned.string(reason)),
            Details(details),
        )

    def verdict(self, benchmark: str, row: Row, content: bytes) -> Verdict:
        """The verdict of a line and the row that it holds; a score that is null there is NaN here."""
        return Verdict(
            benchmark=benchmark,
            sample=sys.intern(row["sample"]),
            repeat=row["repeat"],
            digest=row["digest"],
            scores=self.shared(row["scores"]),
            correct=row["correct"],
            reason=self.told(row["reason"]),
            details=_details(row, content),
        )

    def told(self, reason: str) -> str:
        known = self._reasons
        return known.setdefault(reason, reason) if len(known) < MOST_SHARED else known.get(reason) or reason

    def shared(self, scores: Mapping[str, float | None]) -> Mapping[str, float]:
        key = tuple(scores.items())
        found = self._scores.get(key)
        if found is None:
            found = {name: math.nan if value is None else float(value) for name, value in key}
            if len(self._scores) < MOST_SHARED:
                self._scores[key] = found
        return found


class Filed:
    """Verdicts on a benchmark's items by their place, in columns; the details of many are in a temporary file."""

    def __init__(self, benchmark: str, count: int) -> None:
        self._benchmark, self._compact = benchmark, Compact()
        self._scores: list[Mapping[str, float] | None] = [None] * count
        self._reasons = [""] * count
        self._correct = bytearray(count)
        self._starts, self._sizes = array("q", bytes(8 * count)), array("q", bytes(8 * count))
        self._spool: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(SPOOLED)  # noqa: SIM115 - it lives as long as this
        self._end = 0

    def __contains__(self, place: int) -> bool:
        return self._scores[place] is not None

    def put(self, place: int, verdict: Verdict) -> None:
        details = verdict.details
        content = details.content if isinstance(details, Details) else json.dumps(plain(details)).encode()
        self._spool.seek(self._end)
        self._spool.write(content)
        self._starts[place], self._sizes[place] = self._end, len(content)
        self._end += len(content)
        self._scores[place] = self._compact.shared(verdict.scores)
        self._reasons[place] = self._compact.told(verdict.reason)
        self._correct[place] = _WORDS.index(verdict.correct)

    def verdict(self, place: int, sample: str, repeat: int, digest: str) -> Verdict:
        """The one at a place that holds one, for what it is a verdict on."""
        scores = self._scores[place]
        assert scores is not None
        correct, reason = _WORDS[self._correct[place]], self._reasons[place]
        return Verdict(self._benchmark, sample, repeat, digest, scores, correct, reason, _Spooled(self, place))

    def details(self, place: int) -> bytes:
        self._spool.seek(self._starts[place])
        return self._spool.read(self._sizes[place])


class Rows(Sequence[tuple[Sample, Verdict]]):
    """Samples with the verdict on one repeat of each, which is made when it is looked at; `digest` tells a response's."""

    def __init__(
        self,
        filed: Filed,
        places: Sequence[int],
        samples: Sequence[Sample],
        repeats: Sequence[int],
        digest: Callable[[tuple[str, int]], str | None],
    ) -> None:
        self.samples = samples
        self._filed, self._places, self._repeats, self._digest = filed, places, repeats, digest

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> tuple[Sample, Verdict]: ...
    @overload
    def __getitem__(self, number: slice) -> Rows: ...
    def __getitem__(self, number: int | slice) -> tuple[Sample, Verdict] | Rows:
        if isinstance(number, slice):
            parts = self._places[number], self.samples[number], self._repeats[number]
            return Rows(self._filed, *parts, self._digest)
        return self._row(self._places[number], self.samples[number], self._repeats[number])

    def __iter__(self) -> Iterator[tuple[Sample, Verdict]]:
        return map(self._row, self._places, self.samples, self._repeats)

    def _row(self, place: int, sample: Sample, repeat: int) -> tuple[Sample, Verdict]:
        return sample, self._filed.verdict(place, sample.id, repeat, self._digest((sample.id, repeat)) or "")


def _details(row: Row, content: bytes) -> Mapping[str, Any]:
    """As the text that the line holds of them, where its keys are in the order in which they are written."""
    if tuple(row) != _ORDER or content.count(_START) != 1:
        return row["details"]  # type: ignore[no-any-return]
    return Details(content[content.find(_START) + len(_START) : content.rfind(_END)])
