"""Figures 3-6 of the paper and our extensions as numbers to draw: strategies, algorithms, the evolution over training steps, and
rewards of two papers.

As in the tables, numbers share a figure only where they are comparable, and the published ones stand beside those that keep
the official data, protocol and judges; all values are fractions, as in the paper's figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.reports import published
from suder_bench.reports.admission import Admission, start_of
from suder_bench.reports.figures import demonstrations, grids
from suder_bench.reports.figures.figure import NUMBERS, Chart, Figure, Kind, Mark, Role, Series
from suder_bench.reports.measured import Measured, Training, evolution, quoted, starts_of
from suder_bench.reports.recipes import recipe
from suder_bench.reports.tables import apart, beside_published, compared, heading, origin, sufficient, trainings
from suder_bench.reports.tables.layout import BOTH, EXTENSIONS, LAYOUTS, SRUM, Column, Layout, Number, file_of
from suder_bench.runs.table import FEW, FEW_CLUSTERS

NAMES = {"simpo": "SimPO", "grpo": "GRPO"}
METHODS = {"dsr": "SUDER", SRUM: "SRUM", BOTH: "both"}
CONFIGS = {"unified": "tiny", "separate": "separate", "simpo": "tiny", "grpo": "grpo"}
"""The shipped recipe that trains so."""

STEPS = 3
"""Where a training has been evaluated at so many steps, others with fewer have no line: start and end tell no evolution."""

INTERVALS = {
    "bars": "Lines across the ends of bars: 95 % intervals.",
    "radar": "Bands: 95 % intervals.",
    "lines": "Bands: 95 % intervals.",
}


@dataclass(frozen=True)
class Comparison:
    """A figure of trainings of one model that differ in one thing, the field `by` of `Training`, with each value that the
    layout admits; of the others it admits one."""

    layout: Layout
    kind: Kind
    by: str

    @property
    def values(self) -> tuple[str, ...]:
        return self._admitted[self.by]

    @property
    def alike(self) -> dict[str, str]:
        return {name: values[0] for name, values in self._admitted.items() if name != self.by}

    @property
    def _admitted(self) -> dict[str, tuple[str, ...]]:
        admits = self.layout.admits
        return {"strategy": admits.strategies, "algorithm": admits.algorithms, "reward": admits.rewards}

    def value(self, row: Measured) -> str:
        """What the row's training has for `by`; '' where that is none to compare."""
        return str(getattr(row.training, self.by)) if self.layout.admits.training(row) else ""


def _columns(number: int, *names: str) -> tuple[Column, ...]:
    found = {column.name: column for column in LAYOUTS[number].columns}
    return tuple(found[name] for name in names)


COMPARISONS = {
    3: Comparison(
        Layout(
            3,
            "One model for both tasks, or one for each",
            _columns(4, "Color", "Texture", "LLaVABench"),
            compares=True,
            admits=Admission(strategies=("unified", "separate"), algorithms=("simpo",), rewards=("dsr",)),
        ),
        "bars",
        "strategy",
    ),
    4: Comparison(
        Layout(
            4,
            "Algorithms on GenEval",
            LAYOUTS[2].columns[:-1],
            compares=True,
            admits=Admission(strategies=("unified",), algorithms=("simpo", "grpo"), rewards=("dsr",)),
        ),
        "radar",
        "algorithm",
    ),
}
EVOLUTIONS = {
    5: Layout(5, "Evolution on T2I-CompBench", LAYOUTS[1].columns),
    6: Layout(6, "Evolution of understanding", _columns(3, "LLaVABench", "HallBench", "POPE", "MMB", "SEED")),
}
OURS = {
    number: replace(layout, columns=tuple(one for one in layout.columns if one.name in ("GenEval", "T2I-CompBench") or one.of))
    for number, layout in EXTENSIONS.items()
}
"""Of each extension the means, for which a figure has room."""


def build(rows: Sequence[Measured], paths: Sequence[Path], asked: Sequence[Number] = ()) -> tuple[list[Figure], list[str]]:
    """The figures asked for, or all that can be made; and why others were left out.

    `rows` are what `measured.read` makes of the runs among `paths`, which may hold folders of `reward compare` too.
    Raises `UserError` for a figure asked for that cannot be made.
    """
    figures: list[Figure] = []
    left_out: list[str] = []
    made_by: dict[Number, Callable[[], list[Figure]]] = {
        **{number: partial(_comparisons, one, rows, left_out.append) for number, one in COMPARISONS.items()},
        **{number: partial(_evolutions, one, paths) for number, one in EVOLUTIONS.items()},
        **{number: partial(grids.build, number, paths) for number in grids.BENCHMARKS},
        **{number: partial(demonstrations.build, number, paths) for number in demonstrations.PARTS},
        **{number: partial(_extension, layout, rows, left_out.append) for number, layout in OURS.items()},
    }
    for number in asked or (*NUMBERS, *(number for number, layout in OURS.items() if compared(layout, rows))):
        try:
            figures += made_by[number]()
        except UserError as error:
            if asked:
                raise
            left_out.append(str(error))
    return figures, left_out


def _comparisons(one: Comparison, rows: Sequence[Measured], say: Callable[[str], None]) -> list[Figure]:
    trained, without = sufficient(f"Figure {one.layout.number}", _trained(one, rows), partial(_lacking, one.layout))
    shown = [*starts_of(trained, rows), *trained]
    groups = [group for group in apart(one.layout, shown) if {one.value(row) for row in group} >= {*one.values}]
    if not groups:
        if without:
            raise UserError(without[0])
        if len({start_of(row) for row in trained}) > 1:
            raise UserError(
                f"Figure {one.layout.number} compares {' with '.join(one.values)}, and those given were not trained from one "
                "model; train both from the same"
            )
        raise UserError(
            f"Figure {one.layout.number} compares {' with '.join(one.values)}, and those given were not scored alike; "
            "score both with the same data, judges and protocol (suder-bench track RUN --suite all)"
        )
    for line in without:
        say(line)
    return _finished(one.layout, [(group, Chart(one.kind, _names(one.layout), _compared(one.layout, group))) for group in groups])


def _extension(layout: Layout, rows: Sequence[Measured], say: Callable[[str], None]) -> list[Figure]:
    shown, without = trainings(layout, rows)
    for line in without:
        say(line)
    groups = apart(layout, shown)
    return _finished(layout, [(group, Chart("bars", _names(layout), _compared(layout, group, by_method))) for group in groups])


def _compared(
    layout: Layout, group: Sequence[Measured], labelled: Callable[[Sequence[Training]], list[str]] | None = None
) -> tuple[Series, ...]:
    starts = [row for row in group if row.training is None]
    trained = [row for row in group if row.training]
    before = "before training"
    labels = [f"{row.model}, {before}" for row in starts] if len(starts) > 1 else [before] * len(starts)
    several = [f", {len(row.members)} seeds" if row.members else "" for row in trained]
    short = (labelled or shortened)([row.training for row in trained if row.training])
    labels += [label + seeds for label, seeds in zip(short, several, strict=True)]
    return tuple(
        _series(layout, label, [(None, row)], ", ".join(map(str, row.runs)))
        for label, row in zip(labels, [*starts, *trained], strict=True)
    )


def _trained(one: Comparison, rows: Sequence[Measured]) -> list[Measured]:
    """The trainings to compare. Raises `UserError` where a kind of them is missing."""
    trained = [row for row in rows if one.value(row)]
    for value in one.values:
        if not any(one.value(row) == value for row in trained):
            config = CONFIGS[value]
            fixed = ", ".join(f"{name} {kept}" for name, kept in one.alike.items())
            raise UserError(
                f"Figure {one.layout.number} compares trainings by {one.by} ({', '.join(one.values)}; {fixed}) and none "
                f"with {value} was given; make one with: suder-bench train --config {config} --out runs/{config} && "
                f"suder-bench track runs/{config} --suite all"
            )
    return trained


def _lacking(layout: Layout, row: Measured) -> list[str]:
    return list(dict.fromkeys(column.benchmark for column in layout.columns if not _has(row, column)))


def _evolutions(layout: Layout, paths: Sequence[Path]) -> list[Figure]:
    runs = [path for path in dict.fromkeys(paths) if (path / "recipe.yaml").is_file()]
    if not runs:
        raise UserError(
            f"Figure {layout.number} follows a training over its steps and none was given; make one with: "
            "suder-bench train --config tiny --out runs/tiny && suder-bench track runs/tiny --suite all"
        )
    followed: dict[tuple[Path, ...], tuple[Path, int]] = {}  # the training and the step of each row, by its run folders
    rows: list[Measured] = []
    for run in runs:
        for row in evolution(run):
            if any(_has(row, column) for column in layout.columns):
                followed[tuple(row.runs)] = run, row.training.step if row.training else 0
                rows.append(row)
    figures: list[tuple[Sequence[Measured], Chart]] = []
    for group in apart(layout, rows) if rows else []:
        by_run: dict[Path, list[tuple[int, Measured]]] = {}
        for row in group:
            run, step = followed[tuple(row.runs)]
            by_run.setdefault(run, []).append((step, row))
        lines = {run: points for run, points in by_run.items() if points[-1][1].training}  # of others only the start is there
        most = max(map(len, lines.values()), default=0)
        if most > 1:
            lines = {run: points for run, points in lines.items() if len(points) >= min(most, STEPS)}
            last = [points[-1][1] for points in lines.values()]
            labels = shortened([row.training for row in last if row.training])
            series = tuple(
                _series(layout, label, points, str(run)) for label, (run, points) in zip(labels, lines.items(), strict=True)
            )
            columns = tuple(name for name in _names(layout) if any(one.of(name) for one in series))
            figures.append((last, Chart("lines", columns, series)))
    if not figures:
        benchmarks = " ".join(f"--benchmark {name}" for name in layout.benchmarks)
        suite = "--suite und" if layout.number == 6 else benchmarks
        raise UserError(
            f"Figure {layout.number} needs {' or '.join(layout.benchmarks)} at two steps of a training at least; "
            f"score them with: suder-bench track {quoted(runs[0])} {suite}"
        )
    return _finished(layout, figures)


def _finished(layout: Layout, made: Sequence[tuple[Sequence[Measured], Chart]]) -> list[Figure]:
    """Figures with names, titles and notes, the published marks in the first where it may hold them, else in one of their own."""
    paper = _published(layout)
    groups = dict(enumerate(made, start=0 if beside_published(layout, made[0][0][0]) else 1))
    if paper:
        groups = {0: ((), Chart(made[0][1].kind, (), ())), **groups}
    measured = [rows for rows, _ in made]
    return [_figure(layout, rows, measured, chart, () if place else paper, place) for place, (rows, chart) in groups.items()]


def _figure(
    layout: Layout,
    rows: Sequence[Measured],
    groups: Sequence[Sequence[Measured]],
    chart: Chart,
    paper: Sequence[Series],
    place: int,
) -> Figure:
    ours = layout.number in OURS
    if rows and not beside_published(layout, rows[0]):
        kind, words = heading(layout, rows, groups)
    else:
        kind, words = (
            "real" if ours else "paper",
            " and ".join([*(["published"] if paper else []), *(["measured"] if rows else [])]),
        )
        words += f" ({why})" if rows and (why := origin(layout, rows, groups)) else ""
    first = 0 if kind in ("paper", "real") else 1
    notes = [*layout.notes, *([INTERVALS[chart.kind]] if rows else [])]
    if any(mark.few_clusters is not None for one in chart.series for mark in one.marks):
        notes.append(f"{FEW if chart.kind != 'lines' else 'Some marks are'} {FEW_CLUSTERS}.")
    notes += [f"The paper's numbers: {source}." for source in dict.fromkeys(one.source for one in paper)]
    if not ours and not published.points(layout.number):
        notes.append("The paper prints no numbers in this figure.")
    columns = [name for name in _names(layout) if name in chart.columns or any(one.of(name) for one in paper)]
    return Figure(
        number=layout.number,
        name=f"{file_of('Figure', layout.number)}-{kind}" + (f"-{place}" if place > first else ""),
        subject=layout.title,
        conditions=words,
        content=Chart(chart.kind, tuple(columns), (*chart.series, *paper)),
        notes=tuple(notes),
        recipes=tuple((row.label, recipe(row, layout.benchmarks)) for row in rows),
    )


def _published(layout: Layout) -> list[Series]:
    found: dict[str, list[published.PublishedPoint]] = {}
    for point in published.points(layout.number):
        found.setdefault(point.series, []).append(point)
    return [
        Series(
            f"{label} (paper)",
            "published",
            tuple(Mark(point.column, point.value, step=point.step) for point in points),
            points[0].source,
        )
        for label, points in found.items()
    ]


def _series(layout: Layout, label: str, points: Sequence[tuple[int | None, Measured]], source: str) -> Series:
    marks = []
    for step, row in points:
        for column in layout.columns:
            found = column.metric_of(row.scores)
            if found is not None:
                value, low, high = (_fraction(column, found[key]) for key in ("value", "low", "high"))
                marks.append(Mark(column.name, value or 0.0, low, high, step, found.get("few_clusters")))
    role: Role = "measured" if points[-1][1].training else "start"
    return Series(label, role, tuple(marks), source)


def _fraction(column: Column, value: float | None) -> float | None:
    return None if value is None else round(value * column.factor * column.points / 100, 6)


def _has(row: Measured, column: Column) -> bool:
    return column.metric_of(row.scores) is not None


def _names(layout: Layout) -> tuple[str, ...]:
    return tuple(column.name for column in layout.columns)


def shortened(trainings: Sequence[Training]) -> list[str]:
    """A label for each training that says in what they differ, with its folder where nothing else tells two apart."""
    return _told_apart(
        trainings, [(one.strategy, NAMES.get(one.algorithm, one.algorithm), one.reward, one.start) for one in trainings]
    )


def by_method(trainings: Sequence[Training]) -> list[str]:
    """The same by whose method it is: SRUM's has a credit for boxes, and it is said where there is none."""
    without = [" without boxes" if one.reward != "dsr" and one.algorithm == "simpo" else "" for one in trainings]
    methods = [METHODS[one.reward] + plain for one, plain in zip(trainings, without, strict=True)]
    return _told_apart(trainings, [(method, one.strategy) for method, one in zip(methods, trainings, strict=True)])


def _told_apart(trainings: Sequence[Training], parts: Sequence[tuple[str, ...]]) -> list[str]:
    kept = [i for i in range(len(parts[0])) if len({part[i] for part in parts}) > 1] or [0] if parts else []
    labels = [", ".join(part[i] for i in kept) for part in parts]
    names = [one.run.name for one in trainings]
    folders = names if len(set(names)) == len(names) else [str(one.run) for one in trainings]
    return [f"{label} ({folder})" if labels.count(label) > 1 else label for label, folder in zip(labels, folders, strict=True)]
