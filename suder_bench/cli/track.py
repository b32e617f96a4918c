"""`suder-bench track`: evaluate a training run's checkpoints, once each, and draw their curves."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError
from suder_bench.machine import use_one_thread

if TYPE_CHECKING:
    from suder_bench.runs.screen import Screen
    from suder_bench.training.curves import Point
    from suder_bench.training.track import Tracker


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    options.prepare(offline=args.offline, rehash=args.rehash)
    use_one_thread()
    from suder_bench.runs.jsonl import document
    from suder_bench.runs.screen import Screen
    from suder_bench.training.track import POLL

    screen = Screen()
    tracker = _tracker(args, screen)
    drawn = True
    try:
        for _ in tracker.run(follow=args.follow, poll=POLL):
            drawn = _draw(tracker, screen, tell=drawn)
        drawn = _draw(tracker, screen, tell=drawn)
        found = collect(tracker, screen)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; the same command goes on from here ({tracker.out})") from None
    if args.json:
        sys.stdout.write(document(found))
    else:
        print(render(found))
    stopped = args.follow and found["state"] == "stopped"
    if stopped:
        screen.say(f"suder-bench: training stopped before its end; go on with: suder-bench train --out {args.run} --resume")
    return 0 if drawn and not stopped and not tracker.failures else 1


def _parser() -> argparse.ArgumentParser:
    parser = parsing.Parser(
        "track",
        "Evaluate the start model of a training run and each of its checkpoints once, all with the same settings, and draw "
        "curves of the scores and rewards. The same command again does only what is missing.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="the folder of a training run")
    parser.add_argument("--follow", action="store_true", help="wait for new checkpoints until the training ends")
    parser.add_argument("--last", action="store_true", help="only the checkpoint with the most steps")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where evaluations and curves go (default: RUN/evaluations)")
    parser.add_argument("--fresh", action="store_true", help="evaluate everything again")
    options.add_model_arguments(parser)
    options.add_settings(parser, "the start model")
    options.add_workers(parser)
    options.add_json(parser)
    return parser


def _tracker(args: argparse.Namespace, screen: Screen) -> Tracker:
    """Raises `UserError` for everything that can be known to fail before the first evaluation."""
    from suder_bench.training.track import BRANCHES, Tracker, TrainingRun, parts

    if args.last and args.follow:
        raise UserError("--last and --follow exclude each other; the last checkpoint is known when the training has ended")
    training = TrainingRun.open(args.run)
    start, settings = options.settings(args, lambda: training.start(options.model_arguments(args), args.base))
    state = training.state
    if not any(training.checkpoints(branch) for branch in ("", *BRANCHES)):
        if state == "stopped":
            raise UserError(
                f"{args.run} has no checkpoint, and nothing is training there; go on with: "
                f"suder-bench train --out {args.run} --resume"
            )
        if not (args.follow and state == "running"):
            raise UserError(f"{args.run} has no checkpoint" + (" yet; --follow waits for it" if state == "running" else ""))
    tracker = Tracker(
        training=training,
        start=start,
        parts=parts(settings, training.strategy, screen),
        out=args.out or args.run / "evaluations",
        screen=screen,
        batch_size=args.batch_size,
        fresh=args.fresh,
        last=args.last,
        staffing=options.staffing(args, settings.device),
    )
    tracker.check()
    return tracker


def _draw(tracker: Tracker, screen: Screen, *, tell: bool) -> bool:
    """Write curves.csv and curves.png anew; false, and with `tell` said, when the picture cannot be drawn."""
    from suder_bench.training import curves

    points = curves.read_points(tracker.out)
    curves.write_csv(points, tracker.out / "curves.csv")
    try:
        curves.draw(points, curves.read_rewards(tracker.training.path), tracker.out / "curves.png", tracker.training.path.name)
    except UserError as error:
        if tell:
            screen.say(f"suder-bench: {error}")
        return False
    return True


def collect(tracker: Tracker, screen: Screen) -> dict[str, Any]:
    """The document that `--json` prints: each headline by step, and its paired difference to step 0."""
    from suder_bench.training import curves

    points = curves.read_points(tracker.out)
    benchmarks: dict[str, Any] = {}
    for part in tracker.parts:
        for name in part.settings.benchmarks:
            mine = [point for point in points if (point.suite, point.benchmark) == (part.settings.suite, name)]
            rows = [_row(point, tracker.out, screen) for point in sorted(mine, key=lambda point: point.step) if point.headline]
            if rows:
                headline = next(point.metric for point in mine if point.headline)
                benchmarks[name] = {"suite": part.settings.suite, "headline": headline, "steps": rows}
    picture = tracker.out / "curves.png"
    return {
        "schema": 1,
        "run": str(tracker.training.path),
        "model": tracker.start.name,
        "strategy": tracker.training.strategy,
        "state": tracker.training.state,
        "world": tracker.parts[0].settings.source.world,
        "curves": {"csv": str(tracker.out / "curves.csv"), "png": str(picture) if picture.is_file() else None},
        "benchmarks": benchmarks,
        "failures": dict(tracker.failures),
    }


def _row(point: Point, out: Path, screen: Screen) -> dict[str, Any]:
    from suder_bench.runs.paired import Side, compare

    run = out / f"step-{point.step}" / point.suite
    row = {"step": point.step, "run": str(run), "value": point.value, "low": point.low, "high": point.high, "n": point.n}
    if point.few_clusters is not None:
        row["few_clusters"] = point.few_clusters
    if point.marked:
        row["marked"] = point.marked
    start = out / "step-0" / point.suite
    difference = None
    if point.step and (start / "summary.json").is_file():
        try:
            found = compare(Side.open(start), Side.open(run), [point.benchmark])
        except UserError as error:
            screen.say(f"suder-bench: {error}")
        else:
            metric = found["benchmarks"][point.benchmark]["metrics"][point.metric]
            difference = {
                name: metric[name] for name in ("difference", "low", "high", "p", "n", "few_clusters") if name in metric
            }
    return {**row, "to_start": difference}


def render(found: Mapping[str, Any]) -> str:
    """The document as a table of 80 columns."""
    from suder_bench.runs.table import WORLD, interval_of, number, remarks

    lines: list[str] = []
    intervals: list[Mapping[str, Any]] = []
    for name, entry in found["benchmarks"].items():
        label = f"{name} {entry['headline']}"
        lines += [label, f"{'step':>9}{'value':>10}{'95 % interval':>19}{'- step 0':>12}{'95 % interval':>20}{'n':>8}", "-" * 78]
        for row in entry["steps"]:
            change = row["to_start"] or {"difference": None, "low": None, "high": None}
            intervals += filter(None, [row, row["to_start"]])
            values = f"{row['step']:>9,}{number(row['value']):>10}{interval_of(row):>19}"
            doubts = f"{signed(change['difference']):>12}{interval_of(change):>20}"
            lines.append(f"{values}{doubts}{row['n']:>8,}")
        lines.append("")
    lines.append(f"step 0  {found['model']}; differences are paired by prompt, picture or question group")
    for name, entry in found["benchmarks"].items():
        for row in filter(lambda row: "marked" in row, entry["steps"]):
            told = f"{'marked':<8}step {row['step']}, {name}: {row['marked']}; not comparable with published numbers"
            lines += textwrap.wrap(told, 80, subsequent_indent=" " * 8, break_on_hyphens=False)
    for sign, meaning in remarks(intervals):
        lines += textwrap.wrap(f"{sign:<8}{meaning}", 80, subsequent_indent=" " * 8)
    if found["world"]:
        lines.append(f"data    {WORLD}")
    lines.append(f"curves  {found['curves']['png'] or found['curves']['csv']}")
    return "\n".join(lines)


def signed(value: float | None) -> str:
    from suder_bench.runs.table import number

    return ("+" if value is not None and value > 0 else "") + number(value)
