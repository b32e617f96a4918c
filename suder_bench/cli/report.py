"""`suder-bench report`: the paper's tables and figures from runs, beside the published numbers, and a site of all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from suder_bench.cli import options, parsing
from suder_bench.machine import use_one_thread

if TYPE_CHECKING:
    from suder_bench.reports.figures.figure import Figure
    from suder_bench.reports.measured import Measured
    from suder_bench.reports.tables import Table

TABLES = (*map(str, range(1, 9)), "A")
FIGURES = (*map(str, range(3, 11)), "A")


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser(
        "report",
        "Write Tables 1-6 of the paper as Markdown, LaTeX and CSV: the published rows, and those of the given runs with 95 % "
        "intervals, gains and how they were made; and Figures 3-10 as PNG, SVG, PDF and CSV. Tables 7 and 8 are SRUM's, "
        "Extension A is ours, SUDER against SRUM; they are made where the runs are about them. What is not comparable stands in "
        "tables and figures of its own. Pages for a browser, with every response, its verdict and the curves of training, are "
        "written into DIR/site.",
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="run folders and training runs, compared to the first; folders of reward compare",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="where the report goes")
    parser.add_argument(
        "--table", type=_table, action="append", metavar="N", help="only this table, 1 to 8 or A; may be repeated"
    )
    parser.add_argument(
        "--figure", type=_figure, action="append", metavar="N", help="only this figure, 3 to 10 or A; may be repeated"
    )
    options.add_site(parser)
    options.add_json(parser)
    arguments = parser.parse_args(argv)
    use_one_thread()
    from suder_bench.runs.plan import data_read_once

    with data_read_once():
        return _report(arguments)


def _report(arguments: argparse.Namespace) -> int:
    from suder_bench.reports import contamination, door, findings, findings_page, measured, rivals, several, tables
    from suder_bench.reports.site import folder as site_folder
    from suder_bench.reports.site.runs import is_comparison, not_comparisons
    from suder_bench.reports.tables.write import write
    from suder_bench.runs.jsonl import document
    from suder_bench.runs.screen import Screen

    made: list[Table] = []
    drawn: list[Figure] = []
    left_out: list[str] = []
    files: list[Path] = []
    told: list[Path] = []
    complete = True
    rows = measured.read([path for path in arguments.runs if not is_comparison(path)])
    side = cache(door.side)  # which reads each run's verdicts once
    rows = several.together(rows, side, Screen().say)
    if arguments.table or not arguments.figure:
        not_comparisons(arguments.runs)
        rows = contamination.looked_for(rows, side, Screen().say)
        made, left_out = tables.build(rows, _in_order(arguments.table))
        made = rivals.compared(made, rows, findings.paired_by(side, rows))
        files += write(made, arguments.out)
        told = findings_page.write(findings.findings(rows, side=side), rows, arguments.out)
        files += told
    if arguments.figure or not arguments.table:
        drawn, lacking, written, complete = _figures(arguments, rows)
        left_out = list(dict.fromkeys([*left_out, *lacking]))
        files += written
    if arguments.site:
        files.append(site_folder.report(arguments.runs, made, drawn, left_out, arguments.out, arguments.pictures, Screen()))
    if arguments.json:
        shown = [[{"number": one.number, "name": one.name, "title": one.title} for one in kind] for kind in (made, drawn)]
        found = {"schema": 1, "tables": shown[0], "figures": shown[1], "left_out": left_out, "files": files}
        sys.stdout.write(document(found))
        return 0 if complete else 1
    for table in made:
        print(f"{arguments.out / 'tables' / table.name}.md  {table.title}")
    for figure in drawn:
        print(f"{arguments.out / 'figures' / figure.name}.png  {figure.title}")
    for why in left_out:
        print(f"left out  {why}")
    if arguments.site:
        print(f"pages to look at: {files[-1]}")
    for file in told[:1]:
        print(f"{file}  what agrees with the paper, and what does not")
    pages = [f"{arguments.out / 'figures.md'}"] if drawn else []
    if made:
        pages = [f"{arguments.out / 'tables.md'}", *pages, f"LaTeX: {arguments.out / 'tables.tex'}"]
    print(f"all in {'; '.join(pages)}")
    return 0 if complete else 1


def _figures(arguments: argparse.Namespace, rows: Sequence[Measured]) -> tuple[list[Figure], list[str], list[Path], bool]:
    """The figures drawn, why others were not, their files, and whether they could be: without matplotlib there are none."""
    from suder_bench.plots import NotInstalledError
    from suder_bench.reports import figures
    from suder_bench.reports.figures import files as figure_files

    made, left_out = figures.build(rows, arguments.runs, _in_order(arguments.figure))
    try:
        return made, left_out, figure_files.write(made, arguments.out), True
    except NotInstalledError as error:
        print(f"suder-bench: {error}", file=sys.stderr)
        return [], left_out, [], False


def _in_order(asked: Sequence[int | str] | None) -> list[int | str]:
    """Each once: numbers, then letters."""
    return sorted(set(asked or ()), key=lambda one: (isinstance(one, str), one))


def _table(text: str) -> int | str:
    if text.upper() not in TABLES:
        raise argparse.ArgumentTypeError(f"'{text}' is not one of the tables, {TABLES[0]} to {TABLES[-2]} and {TABLES[-1]}")
    return int(text) if text.isdecimal() else text.upper()


def _figure(text: str) -> int | str:
    if text.upper() not in FIGURES:
        raise argparse.ArgumentTypeError(
            f"'{text}' is none of the figures that runs make, {FIGURES[0]} to {FIGURES[-2]} and {FIGURES[-1]}"
        )
    return int(text) if text.isdecimal() else text.upper()
