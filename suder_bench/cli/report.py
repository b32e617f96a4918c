"""`suder-bench report`: the paper's tables from run folders and training runs, beside the published rows, and a site of all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from suder_bench.cli import options

TABLES = range(1, 7)


def main(argv: Sequence[str]) -> int:
    parser = options.Parser(
        "report",
        "Write Tables 1-6 of the paper as Markdown, LaTeX and CSV: the published rows, and those of the given runs with 95 % "
        "intervals, gains and how they were made. What is not comparable stands in tables of its own. Pages for a browser, with "
        "every response, its verdict and the curves of training, are written into DIR/site.",
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="run folders and training runs, compared to the first; folders of reward compare",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="where the report goes")
    parser.add_argument("--table", type=_table, action="append", metavar="N", help="only this table; may be repeated")
    options.add_site(parser)
    options.add_json(parser)
    arguments = parser.parse_args(argv)
    from suder_bench.reports import findings, measured, site_folder, tables
    from suder_bench.reports.site_runs import not_comparisons
    from suder_bench.reports.write import write
    from suder_bench.runs.jsonl import document
    from suder_bench.runs.screen import Screen

    rows = measured.read(not_comparisons(arguments.runs))
    made, left_out = tables.build(rows, sorted(set(arguments.table or ())))
    files = write(made, arguments.out)
    told = findings.write(findings.findings(rows), rows, arguments.out)
    files += told
    if arguments.site:
        files.append(site_folder.report(arguments.runs, made, left_out, arguments.out, arguments.pictures, Screen()))
    if arguments.json:
        shown = [{"number": table.number, "name": table.name, "title": table.title} for table in made]
        sys.stdout.write(document({"schema": 1, "tables": shown, "left_out": left_out, "files": files}))
        return 0
    for table in made:
        print(f"{arguments.out / 'tables' / table.name}.md  {table.title}")
    for why in left_out:
        print(f"left out  {why}")
    if arguments.site:
        print(f"pages to look at: {files[-1]}")
    for file in told[:1]:
        print(f"{file}  what agrees with the paper, and what does not")
    print(f"all in {arguments.out / 'tables.md'}; LaTeX: {arguments.out / 'tables.tex'}")
    return 0


def _table(text: str) -> int:
    if not text.isdecimal() or int(text) not in TABLES:
        raise argparse.ArgumentTypeError(f"'{text}' is not one of the paper's tables, {TABLES[0]} to {TABLES[-1]}")
    return int(text)
