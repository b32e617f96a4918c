"""`suder-bench score`: the second stage alone, on a run folder or on pictures and answers made elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError
from suder_bench.machine import choose_device, use_one_thread

if TYPE_CHECKING:
    from suder_bench.runs.execute import Outcome
    from suder_bench.runs.screen import Screen


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    _check(args)
    options.prepare(offline=args.offline)
    use_one_thread()
    from suder_bench.runs.jsonl import document, replace_file
    from suder_bench.runs.screen import Screen
    from suder_bench.runs.table import render

    outcome = _run_folder(args, Screen()) if args.run is not None else _elsewhere(args, Screen())
    text = document(outcome.summary)
    rest = "in summary.json" if args.run is not None else f"in {args.out}" if args.out is not None else "with --verbose"
    sys.stdout.write(text if args.json else render(outcome.summary, verbose=args.verbose, rest=rest) + "\n")
    if args.out is not None:
        replace_file(args.out, text.encode())
    return 0 if outcome.complete else 1


def _parser() -> argparse.ArgumentParser:
    parser = parsing.Parser("score", "Score a run folder again, or pictures and answers in a benchmark's official file layout.")
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="a run folder")
    data = parser.under("benchmarks and data")
    parser.add_argument("--rejudge", action="store_true", help="judge all of RUN anew, whatever verdicts it has")
    data.add_argument("--benchmark", metavar="NAME", help="what the pictures or answers respond to")
    data.add_argument("--images", type=Path, metavar="DIR", help="pictures made elsewhere")
    data.add_argument("--answers", type=Path, metavar="FILE", help="answers made elsewhere")
    options.add_data(parser, "official; a run folder's own")
    data.add_argument("--protocol", help="of the benchmark (default: official)")
    options.add_allow_missing(parser, "answers of FILE may be missing")
    options.add_judges(parser)
    options.add_device(parser)
    options.add_workers(parser, judges=False)
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON document there")
    options.add_verbose(parser)
    options.add_json(parser)
    return parser


def _check(args: argparse.Namespace) -> None:
    if args.out is not None and (args.out.is_dir() or any(parent.is_file() for parent in args.out.parents)):
        raise UserError(f"--out {args.out} cannot be written; name a file, for example score.json")
    elsewhere = [args.benchmark, args.images, args.answers, args.data, args.size, args.protocol, args.allow_missing or None]
    if args.images is not None and args.allow_missing:
        raise UserError("--allow-missing is for --answers; pictures that are missing are skipped and counted anyway")
    if args.run is not None:
        if any(value is not None for value in elsewhere):
            raise UserError("RUN is scored with its own benchmarks and data; give either RUN, or --benchmark with its options")
    elif args.rejudge:
        raise UserError("--rejudge is for a run folder, which keeps verdicts; what was made elsewhere is judged each time")
    elif args.workers is not None or args.ray is not None:
        raise UserError("--workers and --ray are for run folders; pictures and answers made elsewhere are scored in one process")
    elif args.benchmark is None or (args.images is None) == (args.answers is None):
        raise UserError("give a run folder, or --benchmark NAME with --images DIR or --answers FILE")


def _run_folder(args: argparse.Namespace, screen: Screen) -> Outcome:
    from suder_bench.models.reference import ModelReference
    from suder_bench.runs.execute import Run
    from suder_bench.runs.recipe import settings_of
    from suder_bench.runs.store import RunFolder
    from suder_bench.terms import checked

    recipe = RunFolder(args.run).read()
    if recipe is None:
        raise UserError(f"'{args.run}' is not a run folder (no run.json); pictures made elsewhere need --benchmark and --images")
    settings = settings_of(
        recipe,
        judges={**recipe.get("judge_choice", {}), **options.judges(args.judge)},
        judge_device=options.device_there(args.judge_device or args.device, args, "gpus_per_worker"),
        judge_dtype=args.judge_dtype or recipe.get("judge_dtype", "auto"),
        known_answers=args.known_answers,
        terms=options.judge_terms(args, checked(recipe.get("judge_args", {}), f"{args.run / 'run.json'}: judge_args")),
        offline=args.offline,
    )
    model = ModelReference(recipe["model"]["name"], recipe["model"]["adapter"], recipe["model"]["name"])
    staffing = options.staffing(args, settings.judge_device)
    return Run(args.run, model, settings, stage="score", staffing=staffing, rejudge=args.rejudge).execute(screen)


def _elsewhere(args: argparse.Namespace, screen: Screen) -> Outcome:
    from suder_bench import registry
    from suder_bench.data import source
    from suder_bench.runs.elsewhere import Elsewhere
    from suder_bench.runs.plan import protocol_named

    kind = registry.load("benchmarks", args.benchmark).kind
    if (kind == "generation") != (args.images is not None):
        needed = "--images DIR" if kind == "generation" else "--answers FILE"
        raise UserError(f"{args.benchmark} is a benchmark of {kind}; give {needed}")
    return Elsewhere(
        benchmark=args.benchmark,
        responses=args.images if args.images is not None else args.answers,
        source=source.choose(args.data, args.size, world_model=False),
        protocol=protocol_named(args.protocol or "official", [args.benchmark]),
        judges=options.judges(args.judge),
        device=choose_device(args.judge_device or args.device),
        dtype=args.judge_dtype or "auto",
        known_answers=args.known_answers,
        terms=options.judge_terms(args),
        offline=args.offline,
        allow_missing=args.allow_missing,
    ).score(screen)
