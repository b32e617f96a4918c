"""The columns of the paper's Tables 1-6, of SRUM's and of our extensions: which metric of which benchmark, printed how."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from suder_bench.reports.admission import ANY, Admission
from suder_bench.reports.measured import Scores

Number = int | str
"""Of a table or figure: the paper's own, or the letter of an extension."""


@dataclass(frozen=True)
class Column:
    """A metric times `factor`, with so many `decimals`; a difference of 1 in print is `points` percentage points.

    In place of a metric it may be the mean `of` other columns, in points.
    """

    name: str
    benchmark: str
    metric: str
    decimals: int
    factor: int = 1
    points: int = 1
    of: tuple[Column, ...] = ()

    def metric_of(self, scores: Mapping[str, Scores]) -> Mapping[str, Any] | None:
        """The metric among a row's scores by benchmark, before the factor; None where it, or a part of the mean, was not
        measured."""
        if not self.of:
            return scores[self.benchmark].metric(self.metric) if self.benchmark in scores else None
        parts = [(one.factor * one.points, one.metric_of(scores)) for one in self.of]
        known = [(points, found) for points, found in parts if found is not None]
        return joined_mean(known) if len(known) == len(parts) else None

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


def joined_mean(parts: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, Any]:
    """The mean of metrics of different benchmarks, each times its number.

    Its interval is joined from theirs as from independent ones, which questions of different benchmarks are: each side lies as
    far off as the root of the squared distances says (Zou and Donner 2008). None where one has none.
    """
    value = sum(times * one["value"] for times, one in parts) / len(parts)
    few = [one["few_clusters"] for _, one in parts if one.get("few_clusters") is not None]
    ends: dict[str, float | None] = {}
    for side, sign in (("low", -1), ("high", 1)):
        off = [None if one[side] is None else times * (one[side] - one["value"]) for times, one in parts]
        known = [one for one in off if one is not None]
        ends[side] = value + sign * math.hypot(*known) / len(parts) if len(known) == len(parts) else None
    return {"value": value, **ends, **({"few_clusters": min(few)} if few else {})}


@dataclass(frozen=True)
class Layout:
    """A table of the paper, and the rows that it `admits`. `compares`: these are trainings of one model, and each needs all its
    benchmarks; a shipped recipe that trains so is `example`. An extension is about trainings of which one at least is `sought`.
    """

    number: Number
    title: str
    columns: tuple[Column, ...]
    compares: bool = False
    admits: Admission = ANY
    sought: Admission | None = None
    example: str = ""
    notes: tuple[str, ...] = ()

    @property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.benchmark for column in self.columns for one in column.of or (column,)))


def called(kind: str, number: Number) -> str:
    """`kind` is Table or Figure, as the paper has them; an extension has both and is called neither."""
    return f"{kind} {number}" if isinstance(number, int) else f"Extension {number}"


def file_of(kind: str, number: Number) -> str:
    """What the names of its files begin with."""
    return called(kind, number).lower().replace(" ", "-")


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
        example="only-und",
    ),
    5: Layout(
        5,
        "Rewards for generation",
        (*_ATTRIBUTES, _HALLUSION, _LLAVA),
        compares=True,
        admits=Admission(strategies=("only-gen",), algorithms=("simpo",), rewards=("clip", "dsr")),
        example="clip-reward",
    ),
    6: Layout(6, "T2I-CompBench with Show-o", _CATEGORIES, admits=Admission(families=("Show-o",))),
}


def _rated(name: str, metric: str) -> Column:
    return Column(name, "t2i-compbench", f"srum/{metric}", decimals=2)


def _reasoned(name: str, metric: str) -> Column:
    return Column(name, "t2i-reasonbench", metric, decimals=2)


FURTHER: Mapping[int, Layout] = {
    7: Layout(
        7,
        "T2I-CompBench as SRUM's judge rates it, 0 to 100 (not SUDER's)",
        (
            _rated("3d spatial", "3d_spatial"),
            _rated("Color", "color"),
            _rated("Complex", "complex"),
            _rated("Nonspatial", "non_spatial"),
            _rated("Numeracy", "numeracy"),
            _rated("Shape", "shape"),
            _rated("Spatial", "spatial"),
            _rated("Texture", "texture"),
            _rated("Overall", "average"),
        ),
    ),
    8: Layout(
        8,
        "T2I-ReasonBench, reasoning accuracy (not SUDER's)",
        (
            _reasoned("Entity", "entity"),
            _reasoned("Idiom", "idiom"),
            _reasoned("Scientific", "scientific"),
            _reasoned("Textual Image", "textual"),
            _reasoned("Average", "average"),
        ),
    ),
}
"""Tables that stand in SRUM's paper and not in SUDER's; they are made of runs that were scored for them, or where asked for."""

SRUM, BOTH = "srum", "0.5 dsr + 0.5 srum"
_BY_SIMPO = ("simpo", "simpo with credit by boxes")
_MEAN = Column("Understanding", "", "", decimals=1, of=LAYOUTS[3].columns)

EXTENSIONS: Mapping[str, Layout] = {
    "A": Layout(
        "A",
        "SUDER against SRUM against both (ours, in neither paper)",
        (_geneval("GenEval", "overall"), _t2i("T2I-CompBench", "average"), *LAYOUTS[3].columns, _MEAN),
        compares=True,
        admits=Admission(strategies=("unified", "only-gen"), algorithms=_BY_SIMPO, rewards=("dsr", SRUM, BOTH)),
        sought=Admission(strategies=("unified", "only-gen"), algorithms=_BY_SIMPO, rewards=(SRUM, BOTH)),
        example=SRUM,
        notes=(
            "SUDER is the reward dsr, SRUM the reward srum with its credit for boxes, both is half of each; all by SimPO.",
            "T2I-CompBench: the mean of Table 1's columns.",
            "Understanding: the mean of HallBench, LLaVABench, POPE, MMB and SEED; its interval takes theirs as independent.",
        ),
    ),
}
"""Tables that stand in no paper: made of trainings, where some of those that they are about are among the runs."""

KNOWN: Mapping[Number, Layout] = {
    layout.number: layout for layout in (*LAYOUTS.values(), *FURTHER.values(), *EXTENSIONS.values())
}
