"""`suder-bench compare`: do two runs differ, and how small a difference could this comparison have seen?"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suder_bench.cli import options, parsing
from suder_bench.machine import use_one_thread


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser(
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
    use_one_thread()
    from suder_bench.runs.paired import Side, compare
    from suder_bench.runs.plan import data_read_once

    with data_read_once():
        found = compare(Side.open(arguments.a), Side.open(arguments.b), arguments.benchmark)
    if arguments.json:
        from suder_bench.runs.jsonl import document

        sys.stdout.write(document(found))
    else:
        print(render(found, verbose=arguments.verbose))
    return 0


def render(found: Mapping[str, Any], *, verbose: bool = False) -> str:
    """The document as a table of 80 columns."""
    from suder_bench.runs.table import WORLD, fitted, interval_of, number, remarks, shown_metrics

    first = 22
    lines, rows = [], []
    for name, entry in found["benchmarks"].items():
        lines += [f"{name}, {entry['clusters']:,} clusters (prompts, pictures or question groups) in both", ""]
        lines += [f"{'':<{first}}{'A':>7}{'B':>7}{'B - A':>8}{'95 % interval':>17}{'p':>8}{'detectable':>11}"]
        lines += ["-" * (first + 58)]
        for metric in shown_metrics(entry, verbose):
            row = entry["metrics"][metric]
            rows.append(row)
            label = fitted(("* " if metric == entry["headline"] else "  ") + metric, first)
            values = f"{number(row['a']):>7}{number(row['b']):>7}{number(row['difference']):>8}"
            doubts = f"{interval_of(row):>17}{number(row['p']):>8}{number(row['detectable']):>11}"
            lines += [label + values + doubts]
        lines += [""]
    lines += [f"{letter}  {found[letter.lower()]['run']} ({found[letter.lower()]['model']})" for letter in "AB"]
    for mark in (f"{side.upper()}  marked: {mark}" for side in "ab" for mark in found[side].get("deviations", ())):
        lines += textwrap.wrap(mark, 80, subsequent_indent="   ")
    for name, entry in found["benchmarks"].items():
        if apart := entry.get("judged_differently"):
            told = f"{name}: not by the same judges in both, and left out: {', '.join(apart)}"
            lines += textwrap.wrap(told, 80, subsequent_indent="   ")
    if found["world"]:
        lines += [f"data: {WORLD}"]
    lines += ["p is for one metric alone; detectable: found with 80 % power at the 5 % level"]
    for sign, meaning in remarks(rows):
        lines += textwrap.wrap(f"{sign}  {meaning}", 80, subsequent_indent="   ")
    return "\n".join(lines)
