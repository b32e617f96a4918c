"""What the paper claims in words, with the numbers that its Tables 1-5 and Figures 3 and 4 print and how sure these can be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from suder_bench.reports import published
from suder_bench.reports.tables.layout import LAYOUTS, Column

Expected = Literal["higher", "lower", "alike"]

BASE = "base"
"""The model before training."""

OVERALL = "Overall"

Z = 1.959964

CONFOUNDED = (
    "what GRPO does better or worse in as many steps it may owe to training on all samples of a group, which takes longer, and "
    "to a learning rate that was chosen for one of the two"
)
"""What speaks against comparing algorithms by one training of each."""


@dataclass(frozen=True)
class Effect:
    """How `row` lies to `other`, two trainings by name or `BASE`, in the mean of some columns."""

    row: str
    other: str
    columns: tuple[Column, ...]

    @property
    def benchmark(self) -> str:
        return self.columns[0].benchmark

    @property
    def parts(self) -> tuple[Column, ...]:
        """What the columns are means of, if it has columns of its own: GenEval's overall is one of its tasks."""
        tasks = tuple(one for one in LAYOUTS[2].columns if one.name != OVERALL)
        return tasks if [one.name for one in self.columns] == [OVERALL] else self.columns

    @property
    def what(self) -> str:
        return (
            f"the mean of {len(self.columns)} columns" if len(self.columns) > 3 else ", ".join(one.name for one in self.columns)
        )

    def __str__(self) -> str:
        return f"{self.row} - {self.other}, {self.benchmark}: {self.what}"


@dataclass(frozen=True)
class Printed:
    """The paper's own difference for a model, in points; `error` is its standard error where the columns are shares of a known
    number of questions, from the binomial distribution of either side: at most so much, as the two answered the same ones."""

    model: str
    points: Decimal
    error: float | None = None

    @property
    def name(self) -> str:
        return self.model.removeprefix("Janus-Pro-")

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, in points."""
        return None if self.error is None else (float(self.points) - Z * self.error, float(self.points) + Z * self.error)


@dataclass(frozen=True)
class Claim:
    """How `row` lies to `other` in the mean of some columns of a table; one with the same columns, where a figure shows it.

    `needs` are the effects of which one at least must be there for the claim to be about anything: that a training that moved
    nothing harms nothing is no finding, and which of two is better, where neither moved, is none. `caveat` is what speaks against
    the comparison itself.
    """

    text: str
    row: str
    other: str
    table: int
    columns: tuple[str, ...]
    expected: Expected
    printed: tuple[Printed, ...]
    source: str
    needs: tuple[Effect, ...] = ()
    caveat: str = ""

    @property
    def effect(self) -> Effect:
        return _effect(self.row, self.other, self.table, self.columns)

    @property
    def sign(self) -> int:
        """1 where the row is claimed to be higher, -1 lower, 0 neither."""
        return {"higher": 1, "lower": -1, "alike": 0}[self.expected]

    @property
    def against(self) -> tuple[Printed, ...]:
        """The printed differences that are differences the way the claim has it."""
        return tuple(one for one in self.printed if self.sign * one.points > 0)


def claims(grpo: Sequence[str] = ("grpo",)) -> list[Claim]:
    """What the paper's sections 4.2 to 4.6 say of a training, with the numbers of Tables 1-5 and Figures 3 and 4.

    It says that POPE, MMB and SEED of its larger model are kept (-0.2, +0.5 and 0.0 points) and of the smaller one rise slightly
    (+0.1 to +0.4), which is to be where it was too. How it chose the steps and the learning rate of `grpo` it does not say, so
    each of several such trainings is compared.
    """
    unified = [_effect("unified", BASE, table, columns) for table, columns in _RAISED]
    found = [_table(f"SUDER raises {_title(table, columns)}", table, columns, "higher") for table, columns in _RAISED]
    found += [_table(f"SUDER keeps {name}", 3, (name,), "alike", tuple(unified)) for name in ("POPE", "MMB", "SEED")]
    learned = tuple(_effect("only-und", BASE, 4, (name,)) for name in _UNDERSTANDING)
    found += [
        _ablation("Training on both tasks draws better than understanding alone", "unified", "only-und", _ATTRIBUTES, "higher"),
        _ablation("Training on both tasks draws as well as generation alone", "unified", "only-gen", _ATTRIBUTES, "alike"),
        _ablation("Training on generation alone raises drawing", "only-gen", BASE, _ATTRIBUTES, "higher"),
        *(
            _ablation(f"Training on understanding alone raises {name}", "only-und", BASE, (name,), "higher")
            for name in _UNDERSTANDING
        ),
        _ablation("Training on understanding alone harms drawing", "only-und", BASE, _ATTRIBUTES, "lower", needs=learned),
    ]
    for name in _UNDERSTANDING:
        above = f"Training on both tasks raises {name} above generation alone"
        as_much = f"Training on both tasks raises {name} as much as understanding alone"
        found.append(_ablation(above, "unified", "only-gen", (name,), "higher"))
        found.append(_ablation(as_much, "unified", "only-und", (name,), "alike"))
    drawn = (_effect("clip-reward", BASE, 5, _ATTRIBUTES),)
    found += [
        _ablation("CLIP as a reward raises drawing", "clip-reward", BASE, _ATTRIBUTES, "higher", table=5),
        _ablation("DSR draws better than CLIP as a reward", "only-gen", "clip-reward", _ATTRIBUTES, "higher", table=5),
    ]
    for name in _UNDERSTANDING:
        moved = f"CLIP as a reward leaves {name} where it was"
        found.append(_ablation(moved, "clip-reward", BASE, (name,), "alike", table=5, needs=drawn))
        text = f"DSR leaves {name} higher than CLIP as a reward"
        found.append(_ablation(text, "only-gen", "clip-reward", (name,), "higher", table=5))
    for name in grpo:
        needs, source = (
            _either("unified", name, 2, (OVERALL,)),
            "Figure 4 of GenEval (the text has T2I-CompBench), no numbers printed",
        )
        text = f"SimPO draws better than {name.replace('grpo', 'GRPO', 1)}"
        found.append(Claim(text, "unified", name, 2, (OVERALL,), "higher", (), source, needs, CONFOUNDED))
    for columns in (("Color", "Texture"), ("LLaVABench",)):
        says = f"Two models in turns are ahead of one in {' and '.join(columns)}"
        needs = _either("separate", "unified", 4, columns)
        found.append(Claim(says, "separate", "unified", 4, columns, "higher", _separate(columns), "Figure 3", needs))
    return found


_ATTRIBUTES = ("Color", "Shape", "Texture")
_UNDERSTANDING = ("HallBench", "LLaVABench")
_RAISED = (
    (1, tuple(column.name for column in LAYOUTS[1].columns)),
    (2, (OVERALL,)),
    *((3, (name,)) for name in _UNDERSTANDING),
)
"""Tables and columns in which both models of the paper are higher after training."""

_PRINTED = {
    BASE: "Janus-Pro-7B",
    "unified": "Janus-Pro-7B + SUDER, both",
    "only-und": "Janus-Pro-7B + SUDER, only understanding",
    "only-gen": "Janus-Pro-7B + SUDER, only generation",
}
_PRINTED_REWARDS = {
    BASE: "Janus-Pro-7B",
    "only-gen": "Janus-Pro-7B + DSR reward, only generation",
    "clip-reward": "Janus-Pro-7B + CLIP reward, only generation",
}
"""Rows of the paper's Tables 4 and 5."""


def _title(table: int, columns: Sequence[str]) -> str:
    return LAYOUTS[table].title if table < 3 else columns[0]


def _effect(row: str, other: str, table: int, columns: Sequence[str]) -> Effect:
    return Effect(row, other, tuple(column for column in LAYOUTS[table].columns if column.name in columns))


def _either(row: str, other: str, table: int, columns: Sequence[str]) -> tuple[Effect, ...]:
    return tuple(_effect(name, BASE, table, columns) for name in (row, other) if other != BASE)


def _table(text: str, table: int, columns: tuple[str, ...], expected: Expected, needs: tuple[Effect, ...] = ()) -> Claim:
    printed = tuple(_printed(base, table, f"{base} + SUDER", base, columns) for base in ("Janus-Pro-1B", "Janus-Pro-7B"))
    return Claim(text, "unified", BASE, table, columns, expected, printed, f"Table {table}", needs)


def _ablation(
    text: str,
    row: str,
    other: str,
    columns: tuple[str, ...],
    expected: Expected,
    table: int = 4,
    needs: tuple[Effect, ...] | None = None,
) -> Claim:
    names = _PRINTED if table == 4 else _PRINTED_REWARDS
    printed = _printed("Janus-Pro-7B", table, names[row], names[other], columns)
    moved = _either(row, other, table, columns) if needs is None else needs
    return Claim(text, row, other, table, columns, expected, (printed,), f"Table {table}", moved)


def _printed(model: str, table: int, row: str, other: str, columns: Sequence[str]) -> Printed:
    """The difference of two printed rows, of the mean of the columns."""
    values = {one.model: one.values for one in published.rows(table)}
    chosen = [column for column in LAYOUTS[table].columns if column.name in columns]
    gaps = [(Decimal(values[row][one.name]) - Decimal(values[other][one.name])) * one.points for one in chosen]
    errors = [_error(table, column, values[row], values[other]) for column in chosen]
    known = [error for error in errors if error is not None]
    error = math.hypot(*known) / len(chosen) if len(known) == len(chosen) else None
    return Printed(model, sum(gaps, Decimal(0)) / len(gaps), error)


def _error(table: int, column: Column, row: Mapping[str, str], other: Mapping[str, str]) -> float | None:
    """Of the difference of two printed shares of right answers, in points. GenEval's overall is the mean of its tasks, each with
    as many prompts: four pictures of one prompt count as one, as nobody says how alike they were."""
    questions = published.questions(table)
    parts = list(questions) if column.name == OVERALL else [column.name] if column.name in questions else []
    if not parts:
        return None
    shares = [(float(Decimal(side[name]) * column.points / 100), questions[name]) for side in (row, other) for name in parts]
    return 100 * math.sqrt(sum(share * (1 - share) / count for share, count in shares)) / len(parts)


def _separate(columns: Sequence[str]) -> tuple[Printed, ...]:
    """Figure 3 prints everything as a share of one."""
    marks = {(one.series, one.column): Decimal(repr(one.value)) for one in published.points(3)}
    gaps = [100 * (marks["Separated", name] - marks["Unified", name]) for name in columns]
    return (Printed("Janus-Pro-7B", sum(gaps, Decimal(0)) / len(gaps)),)
