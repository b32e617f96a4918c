"""`suder-bench run`: one model on one suite, resumable."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench.cli import options
from suder_bench.errors import UserError

if TYPE_CHECKING:
    from suder_bench.runs.execute import Run
    from suder_bench.runs.screen import Screen


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    options.prepare(offline=args.offline)
    from suder_bench.runs.screen import Screen

    screen = Screen()
    run = _run(args)
    if args.dry_run:
        return _preview(run, screen, as_json=args.json)
    outcome = run.execute(screen)
    _show(outcome.summary, run, screen, as_json=args.json, verbose=args.verbose)
    return 0 if outcome.complete else 1


def _parser() -> argparse.ArgumentParser:
    parser = options.Parser("run", "Evaluate a model on a suite of benchmarks. The same command again goes on where it stopped.")
    parser.add_argument("--model", required=True, help="a shipped name, a checkpoint folder, a hub id or ADAPTER:REFERENCE")
    parser.add_argument("--suite", help="gen, und, all or paper")
    parser.add_argument("--benchmark", action="append", default=[], metavar="NAME", help="only this benchmark; may be repeated")
    parser.add_argument("--out", type=Path, help="the run folder (default: runs/MODEL-SUITE)")
    parser.add_argument("--fresh", action="store_true", help="start over, discarding what the run folder holds")
    parser.add_argument("--stage", default="all", choices=["all", "respond", "score"], help="only make, or only judge responses")
    options.add_data(parser, "world for models trained on it, official for others")
    parser.add_argument("--protocol", default="official", help="for the benchmarks that offer it (default: official)")
    parser.add_argument("--limit", type=options.positive, metavar="N", help="at most N samples of each benchmark, evenly spread")
    parser.add_argument("--repeats", type=options.positive, metavar="N", help="responses to a sample (default: the benchmark's)")
    parser.add_argument("--seed", type=options.whole, default=0, help="(default: 0)")
    parser.add_argument("--guidance", type=options.not_negative, help="of image sampling (default: the checkpoint's own, or 5)")
    parser.add_argument(
        "--temperature", type=options.not_negative, default=1.0, help="of image sampling, 0 is greedy (default: 1)"
    )
    parser.add_argument("--batch-size", type=options.batch_size, metavar="auto|N", help="halves when memory is full")
    options.add_judges(parser)
    options.add_machine(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and about how long, and keep nothing")
    options.add_verbose(parser)
    options.add_json(parser)
    return parser


def _run(args: argparse.Namespace) -> Run:
    """The run that the arguments ask for; a wrong model and a wrong suite are told together."""
    from suder_bench import suites
    from suder_bench.data import source
    from suder_bench.machine import choose_device
    from suder_bench.models import reference
    from suder_bench.models.protocols import ImageSampling
    from suder_bench.runs.execute import Run
    from suder_bench.runs.plan import Settings, raise_all

    mistakes: list[UserError] = []
    model = _collected(mistakes, lambda: reference.choose(args.model))
    chosen = _collected(mistakes, lambda: suites.choose(args.suite, args.benchmark))
    overrides = _collected(mistakes, lambda: options.judges(args.judge))
    raise_all(mistakes)
    suite, benchmarks = chosen
    device, dtype = options.machine(args.device, args.dtype)
    settings = Settings(
        suite=suite,
        benchmarks=benchmarks,
        source=source.choose(args.data, args.size, world_model=model.world),
        protocol=args.protocol,
        seed=args.seed,
        limit=args.limit,
        repeats=args.repeats,
        image=ImageSampling(
            temperature=args.temperature, guidance=model.guidance if args.guidance is None else args.guidance
        ),
        device=device,
        dtype=dtype,
        judges=overrides,
        judge_device=choose_device(args.judge_device or device),
        judge_dtype=args.judge_dtype or "auto",
        known_answers=args.known_answers,
        offline=args.offline,
    )
    out = args.out or Path("runs") / f"{model.label}-{suite}"
    return Run(out, model, settings, stage=args.stage, batch_size=args.batch_size, fresh=args.fresh)


def _collected(mistakes: list[UserError], choose: Any) -> Any:
    try:
        return choose()
    except UserError as mistake:
        mistakes.append(mistake)
        return None


def _preview(run: Run, screen: Screen, *, as_json: bool) -> int:
    from suder_bench.runs.jsonl import document
    from suder_bench.runs.screen import duration

    preview = run.preview(screen)
    if as_json:
        sys.stdout.write(document(preview))
        return 0
    print(f"{preview['model']} into {preview['run']}")
    for name, entry in preview["benchmarks"].items():
        left = entry["seconds_left"]
        time = "unknown until the first batch" if left is None else f"about {duration(left)} left"
        if entry["from_one_response"]:
            time += ", estimated from one response"
        print(f"  {name}: {entry['samples']:,} samples, {entry['responses']:,} responses, {entry['done']:,} done; time: {time}")
    return 0


def _show(summary: dict[str, Any], run: Run, screen: Screen, *, as_json: bool, verbose: bool) -> None:
    from suder_bench.runs.jsonl import document
    from suder_bench.runs.table import render

    if as_json:
        sys.stdout.write(document(summary))
    elif run.stage != "respond":
        print(render(summary, verbose=verbose))
    if run.stage == "respond":
        screen.say(f"responses are in {run.out}; suder-bench score {run.out} scores them")
    else:
        screen.say(f"summary: {run.out / 'summary.json'}")
