"""`suder-bench run`: one model on one suite, resumable."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench.cli import options, parsing
from suder_bench.machine import use_one_thread

if TYPE_CHECKING:
    from suder_bench.runs.execute import Run
    from suder_bench.runs.screen import Screen


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    run = prepared(args)
    from suder_bench.runs.screen import Screen

    screen = Screen()
    if args.dry_run:
        return _preview(run, screen, as_json=args.json)
    outcome = run.execute(screen)
    if outcome.whole or args.json:
        _show(outcome.summary, run, screen, as_json=args.json, verbose=args.verbose)
    return 0 if outcome.complete else 1


def parser() -> parsing.Parser:
    parser = parsing.Parser("run", "Evaluate a model on a suite of benchmarks. The same command again goes on where it stopped.")
    parser.under("model").add_argument(
        "--model", required=True, help="a shipped name, a checkpoint folder, a hub id or ADAPTER:REFERENCE"
    )
    options.add_model_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default: runs/MODEL-SUITE)")
    parser.add_argument("--fresh", action="store_true", help="start over, discarding what the run folder holds")
    parser.add_argument(
        "--stage", default="all", choices=["all", "respond", "score"], help="only make, or only judge responses (default: all)"
    )
    options.add_settings(parser, "the checkpoint")
    options.add_workers(parser)
    parser.under("processes").add_argument(
        "--shard", metavar="I/N", help="only part I of N, for N commands into one folder; the last one sums up"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and about how long, and keep nothing")
    options.add_verbose(parser)
    options.add_json(parser)
    return parser


def prepared(args: argparse.Namespace) -> Run:
    """The run that the words ask for, in a process that is made ready for it. Raises `UserError`, or a group of them."""
    options.prepare(offline=args.offline, rehash=args.rehash)
    use_one_thread()
    from suder_bench.runs import shards
    from suder_bench.runs.execute import Run

    model, settings = options.settings(args, lambda: options.choose_model(args, args.model))
    out = args.out or Path("runs") / f"{model.label}-{settings.suite.replace(':', '-')}"
    how: dict[str, Any] = {"stage": args.stage, "batch_size": args.batch_size, "fresh": args.fresh}
    how["staffing"] = options.staffing(args, settings.device)
    if args.shard is None:
        return Run(out, model, settings, **how)
    return shards.ShardedRun(out, model, settings, shard=shards.read(args.shard), **how)


def _preview(run: Run, screen: Screen, *, as_json: bool) -> int:
    from suder_bench.runs.jsonl import document

    preview = run.preview(screen)
    status = 0 if preview["error"] is None else 1
    if as_json:
        sys.stdout.write(document(preview))
        return status
    print(f"{preview['model']} into {preview['run']}")
    for name, entry in preview["benchmarks"].items():
        count = f"{entry['samples']:,} samples, {entry['responses']:,} responses, {entry['done']:,} done"
        print(f"  {name}: {count}; to make: {_about(entry['respond'])}; to judge: {_about(entry['score'])}")
    known = [part for entry in preview["benchmarks"].values() for part in (entry["respond"], entry["score"]) if part]
    total = {what: sum(part[what] for part in known) for what in ("left", "seconds", "low", "high")}
    print(f"  in all, besides loading: {_about(total | {'timed': None})}" + ("" if status == 0 else ", as far as is known"))
    return status


def _about(part: Mapping[str, Any] | None) -> str:
    """'about 0:42 (0:40 to 0:45, by 96 timed)'"""
    from suder_bench.runs.screen import duration

    if part is None:
        return "unknown"
    if not part["left"]:
        return "nothing"
    by = f", by {part['timed']:,} timed" if part["timed"] else ""
    return f"about {duration(part['seconds'])} ({duration(part['low'])} to {duration(part['high'])}{by})"


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
