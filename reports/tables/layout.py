"""The columns of the paper's Tables 1-6: which metric of which benchmark, and how it is printed there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from suder_bench.reports.admission import ANY, Admission


@dataclass(frozen=True)
class Column:
    """A metric times `factor`, with so many `decimals`; a difference of 1 in print is `points` percentage points."""

    name: str
    benchmark: str
    metric: str
    decimals: int
    factor: int = 1
    points: int = 1

    def shown(self, value: float | None) -> str:
        """The digits in print, or '' where there is no value; zero has no sign."""
        if value is None:
            return ""
        step = Decimal(1).scaleb(-self.decimals)
        return f"{(Decimal(repr(float(value))) * self.factor).quantize(step, ROUND_HALF_EVEN):zf}"

    def gain(self, value: str, base: str) -> str:
        """The difference in points of two numbers as printed, with its sign, so that a reader's subtraction agrees."""
        if not value or not base:
            return ""
        difference = (Decimal(value) - Decimal(base)) * self.points
        step = Decimal(1).scaleb(2 - self.decimals if self.points == 100 else -self.decimals)
        return f"{difference.quantize(step, ROUND_HALF_EVEN):{'+' if difference else ''}f}"


@dataclass(frozen=True)
class Layout:
    """A table of the paper, and the rows that it `admits`. `compares`: these are trainings of one model, and each needs all its
    benchmarks."""

    number: int
    title: str
    columns: tuple[Column, ...]
    compares: bool = False
    admits: Admission = ANY

    @property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column.benchmark for column in self.columns))


def _t2i(name: str, metric: str) -> Column:
    return Column(name, "t2i-compbench", metric, decimals=4, points=100)


def _geneval(name: str, metric: str) -> Column:
    return Column(name, "geneval", metric, decimals=2, points=100)


_ATTRIBUTES = (_t2i("Color", "color"), _t2i("Shape", "shape"), _t2i("Texture", "texture"))
_CATEGORIES = (
    *_ATTRIBUTES,
    _t2i("Spatial", "spatial"),
    _t2i("Non-Spatial", "non_spatial"),
    _t2i("Complex", "complex"),
)
_HALLUSION = Column("HallBench", "hallusionbench", "average", decimals=1, factor=100)
_LLAVA = Column("LLaVABench", "llavabench", "all", decimals=1)

LAYOUTS: Mapping[int, Layout] = {
    1: Layout(1, "T2I-CompBench", _CATEGORIES),
    2: Layout(
        2,
        "GenEval",
        (
            _geneval("Single Obj.", "single_object"),
            _geneval("Two Obj.", "two_object"),
            _geneval("Counting", "counting"),
            _geneval("Colors", "colors"),
            _geneval("Position", "position"),
            _geneval("Color Attri.", "color_attr"),
            _geneval("Overall", "overall"),
        ),
    ),
    3: Layout(
        3,
        "Understanding",
        (
            _HALLUSION,
            _LLAVA,
            Column("POPE", "pope", "f1_random", decimals=1, factor=100),
            Column("MMB", "mmbench", "vanilla/overall", decimals=1, factor=100),
            Column("SEED", "seedbench", "overall", decimals=1, factor=100),
        ),
    ),
    4: Layout(
        4,
        "What to train: understanding, generation or both",
        (*_ATTRIBUTES, _HALLUSION, _LLAVA),
        compares=True,
        admits=Admission(strategies=("only-und", "only-gen", "unified"), algorithms=("simpo",), rewards=("dsr",)),
    ),
    5: Layout(
        5,
        "Rewards for generation",
        (*_ATTRIBUTES, _HALLUSION, _LLAVA),
        compares=True,
        admits=Admission(strategies=("only-gen",), algorithms=("simpo",), rewards=("clip", "dsr")),
    ),
    6: Layout(6, "T2I-CompBench with Show-o", _CATEGORIES, admits=Admission(families=("Show-o",))),
}
