"""What the paper claims, what was measured here, and what may be said of it after all tests that were made.

A claim is a difference of two rows in the mean of some columns, paired by prompt. It is tested whether that is none, as large as
the paper prints it, and `MARGIN` points or more; where a claim is that two are alike, also whether it is less. All claims are one
family: verdicts go by the p of Holm's adjustment over it, and only where the 95 % interval says the same. Whether a training that
a claim needs has moved anything only withholds verdicts, and is adjusted within the claim (docs/statistics.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from suder_bench.errors import UserError
from suder_bench.hypotheses import LEVEL, Estimate, More, holm, holm_by_claim
from suder_bench.reports import door
from suder_bench.reports.claims import BASE, Claim, Effect, claims
from suder_bench.reports.measured import Measured, Scores, starts_of
from suder_bench.reports.settings import apart
from suder_bench.runs.paired import Side, mean_difference
from suder_bench.stats import Paired

Verdict = Literal["agrees", "contradicts", "smaller than printed", "equivalent", "cannot tell", "not testable"]
Hypothesis = Literal["different", "smaller", "equivalent", "beyond"]
"""What a test may show: a difference, one smaller than printed, one within the margin, one beyond it."""

Difference = Callable[[str, Sequence[str], Path, Path], Paired]
"""(benchmark, metrics, run a, run b) -> the mean of the metrics in both, and b - a. Raises `UserError` where it has no sense."""

MARGIN = 2.0
"""Points within which two are called equivalent: the paper prints differences of 1 to 2 points as gains in understanding."""

FEWEST = 3
"""Prompts of each of several columns whose mean is compared. Resampling one prompt varies nothing, and of two half of what it
should; of three and more, simulated runs of one model are told apart in 4 to 6 % (tests/reports/test_findings.py)."""

ROWS: Mapping[str, tuple[str, str, str]] = {
    "unified": ("unified", "simpo", "dsr"),
    "only-und": ("only-und", "simpo", "dsr"),
    "only-gen": ("only-gen", "simpo", "dsr"),
    "clip-reward": ("only-gen", "simpo", "clip"),
    "separate": ("separate", "simpo", "dsr"),
    "grpo": ("unified", "grpo", "dsr"),
}
"""Trainings by the name of their recipe: strategy, algorithm and reward."""

GRPO = "grpo"
"""The one of `ROWS` that counts as often as there are trainings of it with different settings."""


@dataclass(frozen=True)
class Measure:
    """An effect in points, or `why` it was not measured, or too thinly to be tested. `p` is the difference's own where there is
    no standard error; `seeds` are those of either side, where there are several."""

    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    runs: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    why: str = ""
    few_clusters: int | None = None
    estimate: Estimate | None = None
    p: float | None = None
    seeds: tuple[int, int] | None = None


@dataclass(frozen=True)
class Trial:
    """One test of a claim. `bound` is the printed difference or the margin, in points, `model` whose difference is printed."""

    effect: Effect
    shows: Hypothesis
    p: float
    bound: float = 0.0
    model: str = ""
    adjusted: float = 1.0
    sure: bool = False
    """Whether the adjusted p is below the level, and the interval says so too."""


@dataclass(frozen=True)
class Takes:
    """How many times the questions and the seeds at hand would settle a claim four times in five, at the level that Holm's
    adjustment begins with: `to` show so many points, or `within` so many, where nothing differs."""

    more: More
    points: float
    to: Literal["show", "within"]


@dataclass(frozen=True)
class Finding:
    """A claim with what was measured, its tests, those of what it `needs`, and the verdict with the reason for it, `because`."""

    claim: Claim
    measure: Measure
    tests: tuple[Trial, ...] = ()
    needs: tuple[Trial, ...] = ()
    verdict: Verdict = "cannot tell"
    because: str = ""
    takes: Takes | None = None

    @property
    def deciding(self) -> Trial | None:
        """The test that the verdict was read off, the larger model's of several; the claim's first where none could be."""
        shows = self._shows
        sure = [test for test in self.tests if test.sure and test.shows == shows]
        return sure[-1] if sure else next(iter(self.tests), None)

    @property
    def besides(self) -> tuple[Trial, ...]:
        """What is sure beyond the verdict."""
        return tuple(test for test in self.tests if test.sure and test.shows != self._shows)

    @property
    def _shows(self) -> Hypothesis | None:
        """What kind of test the verdict was read off."""
        if self.verdict == "contradicts":
            return "different" if self.claim.sign else "beyond"
        shown: dict[Verdict, Hypothesis] = {"agrees": "different", "smaller than printed": "smaller", "equivalent": "equivalent"}
        return shown.get(self.verdict)


@dataclass(frozen=True)
class Findings:
    """Each claim's finding, and the rows they are of."""

    claims: tuple[Finding, ...]
    rows: Mapping[str, Measured]

    @property
    def family(self) -> int:
        """How many claims have a test."""
        return sum(bool(one.tests) for one in self.claims)

    @property
    def world(self) -> bool:
        return any(row.world for row in self.rows.values())


def findings(
    rows: Sequence[Measured], difference: Difference | None = None, side: Callable[[Path], Side] | None = None
) -> Findings | None:
    """Each claim against the rows of a report; None where nothing was trained. `side` remembers what it has read of a run."""
    compared = roles(rows)
    if not set(compared) - {BASE}:
        return None
    told = claims([GRPO, *(name for name in compared if name.startswith(f"{GRPO},"))])
    effects = dict.fromkeys(effect for claim in told for effect in (claim.effect, *claim.needs))
    measured = difference or paired_by(side or cache(door.side), compared.values())  # which reads each run's verdicts once
    found = {effect: _measure(effect, compared, measured) for effect in effects}
    asked = [list(_tests(claim, found[claim.effect])) for claim in told]
    adjusted = holm_by_claim([[test.p for test in tests] for tests in asked])
    level = LEVEL / max(1, sum(map(bool, asked)))
    judged = []
    for claim, tests, ps in zip(told, asked, adjusted, strict=True):
        own = [_judged(test, p, found[claim.effect]) for test, p in zip(tests, ps, strict=True)]
        judged.append(_finding(claim, found, own, _needs(claim, found), level))
    return Findings(tuple(judged), compared)


def paired_by(side: Callable[[Path], Side], rows: Iterable[Measured]) -> Difference:
    """What `side` opens, compared; of a row of several seeds all of them, under the name of the first run."""
    runs = {one.run: one.runs for row in rows for one in row.scores.values()}

    def paired(benchmark: str, metrics: Sequence[str], a: Path, b: Path) -> Paired:
        return mean_difference(benchmark, metrics, *([side(run) for run in runs[first]] for first in (a, b)))

    return paired


def roles(rows: Sequence[Measured]) -> dict[str, Measured]:
    """The rows that claims speak of, by recipe or `BASE`; all of one start model, the unified training's where there is one.

    Of several trainings of one kind the first counts; further ones of GRPO have in their name what sets them apart from it.
    """
    names = {kind: name for name, kind in ROWS.items()}
    made = [(names[one.kind], one.start, row) for row in rows if (one := row.training) and one.kind in names]
    if not made:
        return {}
    _, start, first = next((one for one in made if one[0] == "unified"), made[0])
    bases = starts_of([first], rows)
    found = {BASE: bases[0]} if bases else {}
    for name, its, row in made:
        if its != start:
            continue
        if name == GRPO and name in found:
            name = f"{name}, {settings}" if (settings := apart(_run(row), _run(found[name]))) else name
        found.setdefault(name, row)
    return found


def _run(row: Measured) -> Path:
    assert row.training is not None
    return row.training.run


def _measure(effect: Effect, compared: Mapping[str, Measured], difference: Difference) -> Measure:
    for name in (effect.row, effect.other):
        if name not in compared:
            return Measure(why=_make(name))
    row, other = compared[effect.row], compared[effect.other]
    benchmark = effect.benchmark
    if benchmark not in row.scores or benchmark not in other.scores:
        lacking = (row if benchmark not in row.scores else other).label
        return Measure(why=f"{lacking} was not scored on {benchmark}")
    before, after = other.scores[benchmark], row.scores[benchmark]
    unmeasured = [one.metric for one in effect.columns for side in (before, after) if side.metric(one.metric) is None]
    if unmeasured:
        return Measure(why=f"{benchmark} has no {unmeasured[0]} here, which needs more samples")
    if thin := _thin(effect, before, after):
        return replace(_measured(effect, before, after, difference), estimate=None, p=None, why=thin)
    return _measured(effect, before, after, difference)


def _thin(effect: Effect, before: Scores, after: Scores) -> str:
    """Which column's number rests on too few prompts for a mean of several to have a standard error; '' for none."""
    for column in effect.parts if len(effect.parts) > 1 else ():
        counts = [found.get("few_clusters") for side in (before, after) if (found := side.metric(column.metric))]
        if count := min((count for count in counts if count is not None and count < FEWEST), default=0):
            return f"{column.name} rests on {count} prompt{'s' if count > 1 else ''}: ask {FEWEST} of each column at least"
    return ""


def _measured(effect: Effect, before: Scores, after: Scores, difference: Difference) -> Measure:
    metrics = [after.name_of(one.metric) for one in effect.columns]
    try:
        found = difference(effect.benchmark, metrics, before.run, after.run)
    except UserError as error:
        return Measure(why=str(error))
    scale = effect.columns[0].factor * effect.columns[0].points
    low, high = (None if edge is None else edge * scale for edge in (found.low, found.high))
    estimate = None
    if found.error is not None and found.freedom is not None:
        trained = math.sqrt(found.components.seeds) if found.components else 0.0
        estimate = Estimate(found.difference * scale, found.error * scale, found.freedom, trained=trained * scale)
    runs = tuple(map(str, after.runs)), tuple(map(str, before.runs))
    of = found.seeds and (found.seeds[1], found.seeds[0])  # the row's first, as in the difference
    return Measure(found.difference * scale, low, high, found.n, runs, "", found.few_clusters, estimate, found.p, of)


def _tests(claim: Claim, measure: Measure) -> Iterator[Trial]:
    """Those that could decide on the claim, the one that its words ask for first."""
    effect, estimate = claim.effect, measure.estimate
    if claim.sign and (p := _p_different(measure)) is not None:
        yield Trial(effect, "different", p)
    if estimate is None:
        return
    for one in claim.against:
        points = float(one.points)
        yield Trial(effect, "smaller", (estimate.p_below if points > 0 else estimate.p_above)(points), points, one.name)
    yield Trial(effect, "equivalent", estimate.p_within(MARGIN), MARGIN)
    if not claim.sign:
        yield Trial(effect, "beyond", estimate.p_beyond(MARGIN), MARGIN)


def _needs(claim: Claim, found: Mapping[Effect, Measure]) -> tuple[Trial, ...]:
    """Whether what the claim needs is there."""
    ps = {need: p for need in claim.needs if (p := _p_different(found[need])) is not None}
    both = zip(ps.items(), holm(list(ps.values())), strict=True)
    return tuple(_judged(Trial(need, "different", p), adjusted, found[need]) for (need, p), adjusted in both)


def _p_different(measure: Measure) -> float | None:
    return measure.p if measure.estimate is None else measure.estimate.p_different()


def _judged(test: Trial, adjusted: float, measure: Measure) -> Trial:
    return replace(test, adjusted=adjusted, sure=adjusted < LEVEL and _seen(test, measure))


def _seen(test: Trial, measure: Measure) -> bool:
    """Whether the 95 % interval says what the test shows: two methods must agree."""
    low, high, bound = measure.low, measure.high, test.bound
    if low is None or high is None:
        return False
    seen = {
        "different": low > 0 or high < 0,
        "smaller": high < bound if bound > 0 else low > bound,
        "equivalent": -bound < low and high < bound,
        "beyond": low > bound or high < -bound,
    }
    return seen[test.shows]


def _finding(
    claim: Claim, found: Mapping[Effect, Measure], tests: Sequence[Trial], needs: tuple[Trial, ...], level: float
) -> Finding:
    measure = found[claim.effect]
    if measure.why or measure.difference is None:
        return Finding(claim, measure, because=measure.why)
    finding = Finding(claim, measure, tuple(tests), needs)
    sure = {test.shows for test in tests if test.sure}
    if claim.sign and "different" in sure:
        return replace(finding, verdict="agrees" if claim.sign * measure.difference > 0 else "contradicts")
    if not claim.sign and "beyond" in sure:
        return replace(finding, verdict="contradicts")
    if claim.needs and not any(need.sure for need in needs):
        return replace(finding, verdict="not testable", because=_unmoved(claim.needs, found))
    if "smaller" in sure:
        return replace(finding, verdict="smaller than printed")
    if "equivalent" in sure:
        return replace(finding, verdict="equivalent")
    return replace(finding, takes=_takes(claim, measure, level))


def _unmoved(needs: Sequence[Effect], found: Mapping[Effect, Measure]) -> str:
    by_row: dict[str, list[str]] = {}
    for need in needs:
        value = found[need].difference
        told = "not measured" if value is None else f"{value:+z.1f}"
        by_row.setdefault(need.row, []).append(f"{need.benchmark if len(need.columns) > 3 else need.what} {told}")
    return "not shown to move anything that this needs: " + "; ".join(f"{row}: {', '.join(its)}" for row, its in by_row.items())


def _takes(claim: Claim, measure: Measure, level: float) -> Takes | None:
    """What shows the larger model's difference in print, as ablations are of it, or one of the margin where none is printed; of a
    claim that two are alike what shows that they are, where nothing differs."""
    if measure.estimate is None:
        return None
    if not claim.sign:
        return Takes(measure.estimate.more_to_be_alike(MARGIN, level), MARGIN, "within")
    points = float(claim.against[-1].points) if claim.against else claim.sign * MARGIN
    return Takes(measure.estimate.more_to_differ(points, level), points, "show")


def _make(name: str) -> str:
    if name == BASE:
        return "the model before training was not measured; suder-bench track of the unified training does so"
    return f"needs suder-bench train --config {name} --out runs/{name} && suder-bench track runs/{name} --suite all --last"
