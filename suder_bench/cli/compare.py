"""`suder-bench compare`: do two runs differ, and how small a difference could this comparison have seen?"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError
from suder_bench.machine import use_one_thread


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser(
        "compare",
        "Compare two runs metric by metric: the difference B - A with its 95 % interval, its two-sided p-value, alone and "
        "adjusted (Holm) for all that the table tests, and the smallest difference that as many prompts would show with 80 % "
        "power. With --judges: how far the judges of one run, or of two with the same pictures, agree.",
    )
    parser.add_argument("a", metavar="RUN_A", type=Path, help="a run folder")
    parser.add_argument("b", metavar="RUN_B", type=Path, nargs="?", help="another run folder")
    parser.add_argument("--judges", action="store_true", help="compare judges: Cohen's kappa, weighted where scores have a scale")
    parser.add_argument("--benchmark", metavar="NAME", action="append", help="only this benchmark; may be repeated")
    options.add_verbose(parser)
    options.add_json(parser)
    arguments = parser.parse_args(argv)
    if arguments.b is None and not arguments.judges:
        raise UserError(f"compare needs two run folders, or --judges for those who judged {arguments.a}")
    use_one_thread()
    from suder_bench.runs.agreement import agreement
    from suder_bench.runs.paired import Side, compare
    from suder_bench.runs.plan import data_read_once

    with data_read_once():
        sides = [Side.open(run) for run in (arguments.a, arguments.b) if run is not None]
        if arguments.judges:
            found = agreement(sides, arguments.benchmark)
        else:
            found = compare(sides[0], sides[1], arguments.benchmark, verbose=arguments.verbose)
    if arguments.json:
        from suder_bench.runs.jsonl import document

        sys.stdout.write(document(found))
    else:
        print(render_judges(found) if arguments.judges else render(found, verbose=arguments.verbose))
    return 0


def render_judges(found: Mapping[str, Any]) -> str:
    """The document of `--judges` as a table of 80 columns."""
    from suder_bench.runs.table import WORLD, fitted, interval_of, number, remarks

    first, lines, rows = 22, [], []
    for name, pairs in found["benchmarks"].items():
        for pair in pairs:
            lines += [f"{name}, {pair['responses']:,} responses judged by both", ""]
            lines += [f"{'':<{first}}{'kappa':>7}{'95 % interval':>18}{'same':>7}{'A':>8}{'B':>8}{'n':>8}", "-" * (first + 56)]
            for measure, row in pair["measures"].items():
                rows.append(row)
                weighted = " (w)" if row["weights"] == "quadratic" else ""
                values = f"{number(row['same']):>7}{number(row['mean_a']):>8}{number(row['mean_b']):>8}{row['n']:>8,}"
                lines += [f"{fitted(measure + weighted, first)}{number(row['kappa']):>7}{interval_of(row):>18}{values}"]
            lines += [""]
            for letter, side in (("A", pair["a"]), ("B", pair["b"])):
                who = ", ".join(f"{role} {judge}" for role, judge in side["judges"].items())
                lines += textwrap.wrap(f"{letter}  {who} ({side['run']})", 80, subsequent_indent="   ")
            if left := {name: row["left_out"] for name, row in pair["measures"].items() if row["left_out"]}:
                told = ", ".join(f"{count:,} of {name}" for name, count in left.items())
                lines += textwrap.wrap(f"without a score by one of them, and left out: {told}", 80, subsequent_indent="   ")
            lines += [""]
    if found["world"]:
        lines += [f"data: {WORLD}"]
    told = "kappa: Cohen's, 1 where they always agree, 0 where they do as much as by chance; (w): quadratic weights;"
    lines += textwrap.wrap(f"{told} same: share of equal scores; A, B: means", 80)
    for sign, meaning in remarks(rows):
        lines += textwrap.wrap(f"{sign}  {meaning}", 80, subsequent_indent="   ")
    return "\n".join(lines)


def render(found: Mapping[str, Any], *, verbose: bool = False) -> str:
    """The document as a table of 80 columns; `verbose` as it was made."""
    from suder_bench.runs.table import fitted, interval_of, number, shown_metrics

    first = 21
    lines, rows = [], []
    for name, entry in found["benchmarks"].items():
        lines += [f"{name}, {entry['clusters']:,} clusters (prompts, pictures or question groups) in both", ""]
        lines += [f"{'':<{first}}{'A':>6}{'B':>6}{'B - A':>7}{'95 % interval':>17}{'p':>6}{'adj.':>6}{'detectable':>11}"]
        lines += ["-" * (first + 59)]
        for metric in shown_metrics(entry, verbose):
            row = entry["metrics"][metric]
            rows.append(row)
            label = fitted(("* " if metric == entry["headline"] else "  ") + metric, first)
            values = f"{number(row['a']):>6}{number(row['b']):>6}{number(row['difference']):>7}"
            p = f"{number(row['p']):>6}{number(row.get('p_adjusted')):>6}"
            doubts = f"{interval_of(row):>17}{p}{number(row['detectable']):>11}"
            lines += [label + values + doubts]
        lines += [""]
    return "\n".join([*lines, *footer(found, rows, 80)])


def footer(found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], columns: int) -> list[str]:
    """What stands below the table of the metrics `rows`, in so many columns: whose they are, and what their signs mean."""
    from suder_bench.runs.table import WORLD, remarks

    lines = [f"{letter}  {found[letter.lower()]['run']} ({found[letter.lower()]['model']})" for letter in "AB"]
    for mark in (f"{side.upper()}  marked: {mark}" for side in "ab" for mark in found[side].get("deviations", ())):
        lines += textwrap.wrap(mark, columns, subsequent_indent="   ")
    for name, entry in found["benchmarks"].items():
        if apart := entry.get("judged_differently"):
            told = f"{name}: not by the same judges in both, and left out: {', '.join(apart)}"
            lines += textwrap.wrap(told, columns, subsequent_indent="   ")
    if found["world"]:
        lines += [f"data: {WORLD}"]
    told = f"p is for one metric alone, adj. for {found['adjusted']['tests']} tests at once (Holm), "
    told += "which counts where you looked for what differs; detectable: found with 80 % power at the 5 % level"
    lines += textwrap.wrap(told, columns)
    for sign, meaning in remarks(rows):
        lines += textwrap.wrap(f"{sign}  {meaning}", columns, subsequent_indent="   ")
    return lines
