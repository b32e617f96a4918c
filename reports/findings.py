"""What the paper claims, what was measured here, and whether the two agree: differences paired by prompt, as they are.

A claim names two rows, a benchmark and the metrics whose mean is compared. The verdict is read off the sign of the 95 % interval
alone: an interval that holds zero cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

from suder_bench.errors import UserError
from suder_bench.reports import door, published
from suder_bench.reports.measured import Measured, starts_of
from suder_bench.reports.tables.layout import LAYOUTS, Column
from suder_bench.reports.tables.markdown import escape
from suder_bench.runs.jsonl import document, replace_file
from suder_bench.runs.paired import mean_difference
from suder_bench.runs.table import FEW, remarks
from suder_bench.stats import Paired

Expected = Literal["higher", "lower", "equal"]
Verdict = Literal["agrees", "contradicts", "cannot tell"]
Difference = Callable[[str, Sequence[str], Path, Path], Paired]
"""(benchmark, metrics, run a, run b) -> the mean of the metrics in both, and b - a. Raises `UserError` where it has no sense."""

FILE = "findings.md"

ROWS: Mapping[str, tuple[str, str, str]] = {
    "unified": ("unified", "simpo", "dsr"),
    "only-und": ("only-und", "simpo", "dsr"),
    "only-gen": ("only-gen", "simpo", "dsr"),
    "clip-reward": ("only-gen", "simpo", "clip"),
    "separate": ("separate", "simpo", "dsr"),
    "grpo": ("unified", "grpo", "dsr"),
}
"""Trainings by the name of their recipe: strategy, algorithm and reward."""

BASE = "base"


@dataclass(frozen=True)
class Claim:
    """How `row` lies to `other` in the mean of some columns of a table; one with the same columns, where a figure shows it.

    `printed` are the paper's own differences in points, by the model they are of.
    """

    text: str
    row: str
    other: str
    table: int
    columns: tuple[str, ...]
    expected: Expected
    printed: tuple[tuple[str, Decimal], ...]
    source: str

    @property
    def measured(self) -> tuple[Column, ...]:
        return tuple(column for column in LAYOUTS[self.table].columns if column.name in self.columns)


@dataclass(frozen=True)
class Finding:
    """A claim with the measured difference row - other in points; `why` says what lacks where there is none, `few_clusters` is
    that of the difference (`stats.Paired`)."""

    claim: Claim
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    runs: tuple[str, str] = ("", "")
    why: str = ""
    few_clusters: int | None = None

    @property
    def verdict(self) -> Verdict:
        """A claim of no difference can be contradicted, and never shown."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "cannot tell"
        return "agrees" if self.claim.expected == ("higher" if self.low > 0 else "lower") else "contradicts"


def claims() -> list[Claim]:
    """Every claim of the paper that Tables 1-5 and Figures 3 and 4 test, with the numbers that it prints."""
    found = []
    for table, columns in ((1, _ALL[1]), (2, ("Overall",)), *((3, (name,)) for name in _ALL[3])):
        name = LAYOUTS[table].title if table < 3 else columns[0]
        printed = tuple((base, _printed(table, f"{base} + SUDER", base, columns)) for base in ("Janus-Pro-1B", "Janus-Pro-7B"))
        found.append(Claim(f"SUDER raises {name}", "unified", BASE, table, columns, "higher", printed, f"Table {table}"))
    found += [
        _ablation("Training on both tasks draws better than understanding alone", "unified", "only-und", _ATTRIBUTES, "higher"),
        _ablation("Training on both tasks draws as well as generation alone", "unified", "only-gen", _ATTRIBUTES, "equal"),
        _ablation("Training on understanding alone harms drawing", "only-und", BASE, _ATTRIBUTES, "lower"),
    ]
    for name in _UNDERSTANDING:
        above = f"Training on both tasks raises {name} above generation alone"
        alike = f"Training on both tasks raises {name} as much as understanding alone"
        found.append(_ablation(above, "unified", "only-gen", (name,), "higher"))
        found.append(_ablation(alike, "unified", "only-und", (name,), "equal"))
    found += [_ablation("DSR draws better than CLIP as a reward", "only-gen", "clip-reward", _ATTRIBUTES, "higher", table=5)]
    found += [
        _ablation(f"DSR leaves {name} higher than CLIP as a reward", "only-gen", "clip-reward", (name,), "higher", table=5)
        for name in _UNDERSTANDING
    ]
    source = "Figure 4, no numbers printed"
    found.append(Claim("SimPO draws better than GRPO", "unified", "grpo", 2, ("Overall",), "higher", (), source))
    for columns in (("Color", "Texture"), ("LLaVABench",)):
        says = f"Two models in turns are ahead of one in {' and '.join(columns)}"
        found.append(Claim(says, "separate", "unified", 4, columns, "higher", _separate(columns), "Figure 3"))
    return found


def findings(rows: Sequence[Measured], difference: Difference | None = None) -> list[Finding]:
    """Each claim against the rows of a report; none at all where nothing was trained."""
    compared = roles(rows)
    if not set(compared) - {BASE}:
        return []
    side = cache(door.side)  # which reads each run's verdicts once

    def measured(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        return mean_difference(benchmark, metrics, side(a), side(b))

    return [_finding(claim, compared, difference or measured) for claim in claims()]


def roles(rows: Sequence[Measured]) -> dict[str, Measured]:
    """The rows that claims speak of, by recipe or `BASE`; all of one start model, the unified training's where there is one.

    Of several trainings of one kind the first counts.
    """
    names = {kind: name for name, kind in ROWS.items()}
    made = [(names[one.kind], one.start, row) for row in rows if (one := row.training) and one.kind in names]
    if not made:
        return {}
    _, start, first = next((one for one in made if one[0] == "unified"), made[0])
    bases = starts_of([first], rows)
    found = {BASE: bases[0]} if bases else {}
    for name, its, row in made:
        if its == start:
            found.setdefault(name, row)
    return found


def write(found: Sequence[Finding], rows: Sequence[Measured], out: Path) -> list[Path]:
    """findings.md and findings.json into `out`, of what `findings` made of the rows; old ones go. Returns the files."""
    page, numbers = out / FILE, (out / FILE).with_suffix(".json")
    if not found:
        for file in (page, numbers):
            file.unlink(missing_ok=True)
        return []
    told = {"schema": 1, "world": _world(roles(rows)), "findings": [_plain(one) for one in found]}
    contents = {page: render(found, rows), numbers: document(told)}
    for file, content in contents.items():
        replace_file(file, content.encode())
    return list(contents)


def render(found: Sequence[Finding], rows: Sequence[Measured]) -> str:
    """A summary, a table with a line for each claim that could be tested, whose rows they are, and what is missing."""
    compared = roles(rows)
    tested = [one for one in found if one.difference is not None]
    counts = {verdict: sum(one.verdict == verdict for one in tested) for verdict in ("agrees", "contradicts", "cannot tell")}
    world = "on the embedded world, whose scores are not comparable with published ones: only directions are"
    where = world if _world(compared) else "here"
    lines = [
        "# Findings",
        "",
        f"Of {len(found)} claims of the paper {len(tested)} were tested {where}. Agree: {counts['agrees']}; "
        f"contradicted: {counts['contradicts']}; cannot be told: {counts['cannot tell']}.",
        "",
        "| claim | the paper, points | measured, points | 95 % interval | n | |",
        "|---|---|---:|---:|---:|---|",
    ]
    lines += ["| " + " | ".join(_cells(one)) + " |" for one in tested]
    lines += [
        "",
        "Differences are first minus second of what a claim names, of the mean of its columns, paired by prompt, picture or "
        "question group; `n` counts the pictures, questions or question groups of each side. *agrees* and *contradicts* mean "
        "that the interval lies on one side of zero; that two are alike can be contradicted and never shown. An interval "
        "covers which prompts were asked and what was sampled, and not another seed of the training: each training was run once. "
        f"About one in twenty of {len(tested)} intervals misses.",
    ]
    lines += _signs(tested)
    lines += ["", "Compared:", ""]
    lines += [f"- {name}: {escape(row.label)} ({escape(', '.join(map(str, row.runs)))})" for name, row in compared.items()]
    others = [row for row in rows if row.training and not any(row is one for one in compared.values())]
    lines += [f"- in no claim, for another start model or the second of its kind: {escape(row.label)}" for row in others]
    lacking = [one for one in found if one.difference is None]
    if lacking:
        lines += ["", "Not tested:", "", *(f"- {escape(one.claim.text)}: {escape(one.why)}" for one in lacking)]
    return "\n".join(lines) + "\n"


_ALL = {number: tuple(column.name for column in LAYOUTS[number].columns) for number in LAYOUTS}
_ATTRIBUTES = ("Color", "Shape", "Texture")
_UNDERSTANDING = ("HallBench", "LLaVABench")
_PRINTED = {
    BASE: "Janus-Pro-7B",
    "unified": "Janus-Pro-7B + SUDER, both",
    "only-und": "Janus-Pro-7B + SUDER, only understanding",
    "only-gen": "Janus-Pro-7B + SUDER, only generation",
}
_PRINTED_REWARDS = {
    "only-gen": "Janus-Pro-7B + DSR reward, only generation",
    "clip-reward": "Janus-Pro-7B + CLIP reward, only generation",
}
"""Rows of the paper's Tables 4 and 5."""


def _ablation(text: str, row: str, other: str, columns: tuple[str, ...], expected: Expected, table: int = 4) -> Claim:
    names = _PRINTED if table == 4 else _PRINTED_REWARDS
    printed = (("Janus-Pro-7B", _printed(table, names[row], names[other], columns)),)
    return Claim(text, row, other, table, columns, expected, printed, f"Table {table}")


def _printed(table: int, row: str, other: str, columns: Sequence[str]) -> Decimal:
    """The difference of two printed rows in points, of the mean of the columns."""
    values = {one.model: one.values for one in published.rows(table)}
    chosen = [column for column in LAYOUTS[table].columns if column.name in columns]
    gaps = [(Decimal(values[row][one.name]) - Decimal(values[other][one.name])) * one.points for one in chosen]
    return sum(gaps, Decimal(0)) / len(gaps)


def _separate(columns: Sequence[str]) -> tuple[tuple[str, Decimal], ...]:
    """Figure 3 prints everything as a share of one."""
    marks = {(one.series, one.column): Decimal(repr(one.value)) for one in published.points(3)}
    gaps = [100 * (marks["Separated", name] - marks["Unified", name]) for name in columns]
    return (("Janus-Pro-7B", sum(gaps, Decimal(0)) / len(gaps)),)


def _world(compared: Mapping[str, Measured]) -> bool:
    return any(row.world for row in compared.values())


def _finding(claim: Claim, compared: Mapping[str, Measured], difference: Difference) -> Finding:
    for name in (claim.row, claim.other):
        if name not in compared:
            return Finding(claim, why=_make(name))
    row, other = compared[claim.row], compared[claim.other]
    benchmark = claim.measured[0].benchmark
    if benchmark not in row.scores or benchmark not in other.scores:
        lacking = (row if benchmark not in row.scores else other).label
        return Finding(claim, why=f"{lacking} was not scored on {benchmark}")
    before, after = other.scores[benchmark], row.scores[benchmark]
    unmeasured = [one.metric for one in claim.measured for side in (before, after) if side.metric(one.metric) is None]
    if unmeasured:
        return Finding(claim, why=f"{benchmark} has no {unmeasured[0]} here, which needs more samples")
    own = after.entry["metrics"]
    metrics = [one.metric if one.metric in own else f"{after.entry['protocol']}/{one.metric}" for one in claim.measured]
    try:
        found = difference(benchmark, metrics, before.run, after.run)
    except UserError as error:
        return Finding(claim, why=str(error))
    scale = claim.measured[0].factor * claim.measured[0].points
    low, high = (None if edge is None else edge * scale for edge in (found.low, found.high))
    runs = str(after.run), str(before.run)
    return Finding(claim, found.difference * scale, low, high, found.n, runs, few_clusters=found.few_clusters)


def _signs(tested: Sequence[Finding]) -> list[str]:
    """What the signs in the column of intervals mean."""
    rows = [{"low": one.low, "high": one.high, "few_clusters": one.few_clusters} for one in tested]
    return ["", *(f"`{sign}`: {meaning}." for sign, meaning in remarks(rows))] if remarks(rows) else []


def _make(name: str) -> str:
    if name == BASE:
        return "the model before training was not measured; suder-bench track of the unified training does so"
    return f"needs suder-bench train --config {name} --out runs/{name} && suder-bench track runs/{name} --suite all --last"


def _cells(one: Finding) -> list[str]:
    claim = one.claim
    printed = ", ".join(f"{model.removeprefix('Janus-Pro-')}: {value:+z.1f}" for model, value in claim.printed)
    interval = "-" if one.low is None or one.high is None else f"{one.low:+z.1f} to {one.high:+z.1f}"
    interval += FEW if one.few_clusters is not None else ""
    says = f"**{one.verdict}**" if one.verdict == "contradicts" else one.verdict
    source = f"{printed} ({claim.source})" if printed else claim.source
    return [escape(claim.text), source, f"{one.difference:+z.1f}", interval, f"{one.n:,}", says]


def _plain(one: Finding) -> dict[str, Any]:
    printed = {model: float(value) for model, value in one.claim.printed}
    told = {name: value for name, value in asdict(one).items() if name != "few_clusters" or value is not None}
    return {**told, "claim": {**asdict(one.claim), "printed": printed}, "verdict": one.verdict}
