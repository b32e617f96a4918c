"""What a form's reader hands to its benchmark, and what is checked alike for all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from suder_bench.data.folder import of_world
from suder_bench.data.hub import origin
from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import Row
from suder_bench.evaluators.answers.tables import SUFFIXES

PICTURE = "picture"
"""Of a row, its picture, or None for a question without one."""


@dataclass(frozen=True)
class Form:
    """Questions from other files than the official ones: `rows` have the fields of the official rows, and `PICTURE`."""

    rows: Sequence[Row]
    files: Sequence[Path]

    @property
    def told(self) -> str:
        more = f" and {len(self.files) - 1} more" if self.files[1:] else ""
        return f"from {self.files[0]}{more}{f' ({self.origin})' if self.origin else ''}"

    @property
    def origin(self) -> str:
        """The hub's set and its commit, of files that `data fetch` brought, else ""."""
        return origin(self.files[0])


def table_file(data: Path, name: str, stem: str) -> Path | None:
    places = (folder / f"{stem}{suffix}" for folder in (data / name, data) for suffix in SUFFIXES)
    return next((place for place in places if place.is_file()), None)


def whole(form: Form, data: Path, counts: Collection[int], what: str) -> Form:
    """`form`, if it has one of these numbers of rows; the world's forms may have any. Raises `UserError` with both numbers."""
    if len(form.rows) in counts or of_world(data):
        return form
    expected = " or ".join(f"{count:,}" for count in counts)
    raise UserError(f"{form.files[0]}: {len(form.rows):,} {what}; the benchmark has {expected}: get the whole file again")
