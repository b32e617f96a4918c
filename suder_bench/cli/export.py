"""`suder-bench export`: a run's numbers for the model's page on the Hugging Face hub."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError
from suder_bench.machine import use_one_thread

if TYPE_CHECKING:
    from suder_bench.reports.export import Dataset


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser(
        "export",
        "Write a run's numbers for the model's page on the Hugging Face hub: .eval_results/BENCHMARK.yaml, a table for its card "
        "with intervals, n, protocols and judges, and the card's model-index. Only what may stand beside published numbers "
        "goes into the first and the last.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the files go (default: exports/RUN)")
    parser.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="BENCHMARK=ORG/NAME#TASK",
        help="the hub's set and its task that has the benchmark's leaderboard; may be repeated",
    )
    parser.add_argument("--model", metavar="NAME", help="the model's name in model-index (default: the run's)")
    parser.add_argument("--source-url", metavar="URL", help="a page that the numbers link to, such as a set with the run folder")
    parser.add_argument("--source-name", metavar="NAME", help="what that link is called")
    options.add_verbose(parser)
    options.add_json(parser)
    args = parser.parse_args(argv)
    if args.source_name is not None and args.source_url is None:
        raise UserError("--source-name is what a link is called; give --source-url URL too")
    options.prepare(offline=True)
    use_one_thread()
    from suder_bench.reports.export import Source, export
    from suder_bench.runs.jsonl import document, replace_file

    source = None if args.source_url is None else Source(args.source_url, args.source_name)
    found = export(args.run, _datasets(args.dataset), source=source, model=args.model, verbose=args.verbose)
    out = args.out or Path("exports") / args.run.resolve().name
    for name, content in found.files.items():
        replace_file(out / name, content.encode())
    files = [str(out / name) for name in found.files]
    if args.json:
        sys.stdout.write(document({"schema": 1, "files": files, "left_out": found.left_out}))
        return 0
    for file in files:
        print(file)
    for why in found.left_out:
        print(f"left out  {why}")
    return 0


def _datasets(pairs: Sequence[str]) -> dict[str, Dataset]:
    from suder_bench.reports.export import Dataset

    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--dataset '{pair}' is not BENCHMARK=ORG/NAME#TASK")
        found[name] = Dataset.read(text)
    return found
