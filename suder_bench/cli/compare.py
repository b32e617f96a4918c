"""`suder-bench compare`: do two runs differ, and how small a difference could this comparison have seen?"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from suder_bench.cli import options
from suder_bench.errors import UserError, unknown


@dataclass(frozen=True)
class Side:
    """One of the two runs: its folder as the user wrote it, and its run.json."""

    path: Path
    recipe: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Side:
        """Raises `UserError` when there is no scored run in the folder."""
        from suder_bench.runs.store import RunFolder

        recipe = RunFolder(path).read()
        if recipe is None:
            raise UserError(f"{path} holds no run.json; give two run folders, as in: suder-bench compare runs/a runs/b")
        return cls(path, recipe)

    @property
    def scored(self) -> list[str]:
        return [name for name in self.recipe["benchmarks"] if name in self.recipe["judges"]]


def main(argv: Sequence[str]) -> int:
    parser = options.Parser(
        "compare",
        "Compare two runs metric by metric: the difference B - A with its 95 % interval, its two-sided p-value, and the "
        "smallest difference that as many prompts would show with 80 % power.",
    )
    parser.add_argument("a", metavar="RUN_A", type=Path, help="a run folder")
    parser.add_argument("b", metavar="RUN_B", type=Path, help="another run folder")
    parser.add_argument("--benchmark", metavar="NAME", action="append", help="only this benchmark; may be repeated")
    options.add_verbose(parser)
    options.add_json(parser)
    arguments = parser.parse_args(argv)
    found = compare(Side.open(arguments.a), Side.open(arguments.b), arguments.benchmark)
    if arguments.json:
        from suder_bench.runs.jsonl import document

        sys.stdout.write(document(found))
    else:
        print(render(found, verbose=arguments.verbose))
    return 0


def compare(a: Side, b: Side, only: Sequence[str] | None = None) -> dict[str, Any]:
    """The document that `--json` prints. Raises `UserError` where the two runs measured different things."""
    shared = [name for name in a.scored if name in b.scored]
    if not shared:
        scored = "; ".join(f"{side.path} scored {', '.join(side.scored) or 'nothing'}" for side in (a, b))
        raise UserError(f"no benchmark to compare: {scored}; finish a run by repeating its command")
    for name in only or []:
        if name not in shared:
            raise unknown("benchmark of both runs", name, shared)
    names = [name for name in shared if not only or name in only]
    for name in names:
        _refuse_difference(name, a, b)
    return {
        "schema": 1,
        "a": {"run": str(a.path), "model": a.recipe["model"]["name"]},
        "b": {"run": str(b.path), "model": b.recipe["model"]["name"]},
        "world": a.recipe["world"],
        "benchmarks": {name: _benchmark(name, a, b) for name in names},
    }


def render(found: Mapping[str, Any], *, verbose: bool = False) -> str:
    """The document as a table of 80 columns."""
    from suder_bench.runs.table import WORLD, fitted, interval, number, shown_metrics

    first = 22
    lines = []
    for name, entry in found["benchmarks"].items():
        lines += [f"{name}, {entry['clusters']:,} clusters (prompts, pictures or question groups) in both", ""]
        lines += [f"{'':<{first}}{'A':>7}{'B':>7}{'B - A':>8}{'95 % interval':>17}{'p':>8}{'detectable':>11}"]
        lines += ["-" * (first + 58)]
        for metric in shown_metrics(entry, verbose):
            row = entry["metrics"][metric]
            label = fitted(("* " if metric == entry["headline"] else "  ") + metric, first)
            values = f"{number(row['a']):>7}{number(row['b']):>7}{number(row['difference']):>8}"
            doubts = f"{interval(row['low'], row['high']):>17}{number(row['p']):>8}{number(row['detectable']):>11}"
            lines += [label + values + doubts]
        lines += [""]
    lines += [f"{letter}  {found[letter.lower()]['run']} ({found[letter.lower()]['model']})" for letter in "AB"]
    if found["world"]:
        lines += [f"data: {WORLD}"]
    lines += ["p is for one metric alone; detectable: found with 80 % power at the 5 % level"]
    return "\n".join(lines)


def _refuse_difference(name: str, a: Side, b: Side) -> None:
    """Numbers of one name that measured two things must not be subtracted."""
    entries = a.recipe["benchmarks"][name], b.recipe["benchmarks"][name]
    judges = a.recipe["judges"][name], b.recipe["judges"][name]
    told = [", ".join(f"{role} {judge['backend']} {judge['fingerprint'][:8]}" for role, judge in side.items()) for side in judges]
    for what, left, right in (
        ("protocol", entries[0]["protocol"], entries[1]["protocol"]),
        ("data", entries[0]["data"], entries[1]["data"]),
        ("judges", *told),
    ):
        if left != right:
            raise UserError(
                f"{a.path} and {b.path} cannot be compared: {name} {what} are {left} and {right};"
                " run one of them again like the other, or choose another --benchmark"
            )


def _benchmark(name: str, a: Side, b: Side) -> dict[str, Any]:
    from suder_bench import stats

    (one, rows_a), (other, rows_b) = _rows(name, a), _rows(name, b)
    clusters_a, clusters_b = ([sample.cluster for sample, _ in rows] for rows in (rows_a, rows_b))
    shared = len(set(clusters_a) & set(clusters_b))
    if not shared:
        raise UserError(f"{a.path} and {b.path} have no {name} prompt in common; run one of them again with the other's --limit")
    found = stats.paired(one.statistics(rows_a), clusters_a, other.statistics(rows_b), clusters_b)
    return {
        "headline": one.headline,
        "paper_metrics": list(one.paper_metrics),
        "clusters": shared,
        "metrics": {metric: asdict(paired) for metric, paired in found.items()},
    }


def _rows(name: str, side: Side) -> tuple[Any, list[Any]]:
    """The benchmark over the data of one run, and that run's verdicts."""
    from suder_bench.runs.plan import plan
    from suder_bench.runs.recipe import settings_of
    from suder_bench.runs.score import stored_rows
    from suder_bench.runs.store import RunFolder

    settings = settings_of(side.recipe, judges={}, offline=True)
    [task] = plan(replace(settings, benchmarks=(name,)), lambda line: print(line, file=sys.stderr))
    if task.data != side.recipe["benchmarks"][name]["data"]:
        raise UserError(
            f"the {name} files of {side.path} are not the ones it was made with; put those back, or run it again with --fresh"
        )
    rows = stored_rows(task, side.recipe["judges"][name], RunFolder(side.path))
    if not rows:
        raise UserError(f"{side.path} has no {name} verdicts of this version; score it again: suder-bench score {side.path}")
    return task.benchmark, rows
