"""What a figure of the paper shows, before anything is drawn: marks with intervals, rows of pictures, captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from suder_bench.reports.tables.layout import Number, called
from suder_bench.rewards.regions import Regions
from suder_bench.runs.table import FEW

Role = Literal["measured", "start", "published"]
Kind = Literal["bars", "radar", "lines"]
Frame = Literal["", "best", "worst"]
NUMBERS = range(3, 11)
"""Of the paper's figures, those that can be made from runs."""


@dataclass(frozen=True)
class Mark:
    """A number of a column, as a fraction; `step` is None in figures without steps, the interval where there is none.

    `few_clusters` is a metric's (`records.Metric`).
    """

    column: str
    value: float
    low: float | None = None
    high: float | None = None
    step: int | None = None
    few_clusters: int | None = None

    def __str__(self) -> str:
        return f"{self.value:z.2f}" + (FEW if self.few_clusters is not None else "")


@dataclass(frozen=True)
class Series:
    """Marks of one model or training. `start` is the model before it; `source` is a run or a paper."""

    label: str
    role: Role
    marks: tuple[Mark, ...]
    source: str

    def of(self, column: str) -> list[Mark]:
        return [mark for mark in self.marks if mark.column == column]


@dataclass(frozen=True)
class Chart:
    """Bars or lines with a panel for each column, or a radar with a spoke for each."""

    kind: Kind
    columns: tuple[str, ...]
    series: tuple[Series, ...]

    def rows(self) -> Iterator[dict[str, object]]:
        """A column for `few_clusters` only where there are such marks."""
        few = any(mark.few_clusters is not None for one in self.series for mark in one.marks)
        for one in self.series:
            for mark in one.marks:
                yield {
                    "series": one.label,
                    "role": one.role,
                    "step": mark.step,
                    "column": mark.column,
                    "value": mark.value,
                    "low": mark.low,
                    "high": mark.high,
                    **({"few_clusters": mark.few_clusters} if few else {}),
                    "source": one.source,
                }


@dataclass(frozen=True)
class Picture:
    """A picture file with lines of numbers below it, and between them, with `mapped`, its map of `regions`."""

    file: Path
    lines: tuple[str, ...] = ()
    frame: Frame = ""
    mapped: bool = False
    regions: Regions = None


@dataclass(frozen=True)
class Pictures:
    """Rows of pictures, each with the prompt that they were drawn from; `columns` are the models that drew them, or empty."""

    columns: tuple[str, ...]
    prompts: tuple[tuple[str, tuple[Picture, ...]], ...]

    def rows(self) -> Iterator[dict[str, object]]:
        for prompt, pictures in self.prompts:
            for i, picture in enumerate(pictures):
                column = self.columns[i] if self.columns else str(i + 1)
                numbers = "; ".join(picture.lines)
                yield {
                    "prompt": prompt,
                    "column": column,
                    "numbers": numbers,
                    "frame": picture.frame,
                    "source": str(picture.file),
                }


@dataclass(frozen=True)
class Caption:
    """A caption and its numbers, as printed."""

    text: str
    numbers: tuple[str, ...]
    frame: Frame = ""


@dataclass(frozen=True)
class Captions:
    """Pictures, each with its captions from the best to the worst; `names` are those of the numbers."""

    names: tuple[str, ...]
    pictures: tuple[tuple[Path, tuple[Caption, ...]], ...]

    def rows(self) -> Iterator[dict[str, object]]:
        for file, captions in self.pictures:
            for caption in captions:
                numbers = dict(zip(self.names, map(float, caption.numbers), strict=True))
                yield {"picture": str(file), "caption": caption.text, **numbers, "frame": caption.frame}


@dataclass(frozen=True)
class Sheet:
    """A picture that is shown as it is."""

    file: Path

    def rows(self) -> Iterator[dict[str, object]]:
        yield {"picture": str(self.file)}


@dataclass(frozen=True)
class Figure:
    """One figure to draw. `name` is its files'; `notes` stand below it, `recipes` tell how each measured series was made.

    `subject` is its heading; `conditions` say how its numbers were made and with what they compare.
    """

    number: Number
    name: str
    subject: str
    conditions: str
    content: Chart | Pictures | Captions | Sheet
    notes: tuple[str, ...] = ()
    recipes: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def title(self) -> str:
        return f"{called('Figure', self.number)}. {self.subject}: {self.conditions}"

    @property
    def below(self) -> str:
        """The conditions and notes as a line of text."""
        return " ".join([f"{self.conditions[:1].upper()}{self.conditions[1:]}.", *self.notes])
