"""`suder-bench reward compare`: which reward picks the better samples of a model, before anyone trains with it?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench.cli import options
from suder_bench.errors import UserError, unknown

if TYPE_CHECKING:
    from suder_bench.models.protocols import Model
    from suder_bench.rewards.sampled import Sampled
    from suder_bench.runs.execute import Run
    from suder_bench.runs.screen import Screen

ACTIONS = ("compare",)


def main(argv: Sequence[str]) -> int:
    if not argv or argv[0] not in (*ACTIONS, "--help", "-h"):
        raise unknown("reward command", argv[0] if argv else "", ACTIONS)
    args = _parser().parse_args(argv[1:] if argv[0] in ACTIONS else argv)
    options.prepare(offline=args.offline)
    from suder_bench.runs.screen import Screen

    screen = Screen()
    names = _names(args)
    run, out = _run(args)
    model = run.model.load(device=run.settings.device, dtype=run.settings.dtype)
    found, complete = _compare(run, out, model, names, args, screen)
    if args.json:
        from suder_bench.runs.jsonl import document

        sys.stdout.write(document(found))
    else:
        from suder_bench.reports.rewards import table

        print(table(found))
    screen.say(f"result: {out / 'compare.md'}")
    return 0 if complete else 1


def _parser() -> options.Parser:
    parser = options.Parser(
        "reward compare",
        "Draw several pictures of each prompt of a benchmark (and captions of the world's pictures), and tell how well each "
        "reward agrees with the verdicts. The same command again goes on where it stopped.",
    )
    parser.add_argument("--model", required=True, help="as for run")
    parser.add_argument(
        "--rewards", default="dsr,clip", metavar="NAME,NAME", help="see suder-bench list rewards (default: dsr,clip)"
    )
    parser.add_argument("--prompts", default="geneval", metavar="BENCHMARK", help="a generation benchmark (default: geneval)")
    parser.add_argument("--samples", type=options.positive, default=8, metavar="N", help="of each prompt, 2 or more (default: 8)")
    parser.add_argument(
        "--captions",
        type=options.whole,
        metavar="N",
        help="pictures of the world to caption, 0 for none (default: as many as prompts)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="samples and results (default: runs/MODEL-rewards)")
    parser.add_argument("--fresh", action="store_true", help="start over, discarding the samples")
    options.add_responses(parser, "the checkpoint")
    options.add_json(parser)
    return parser


def _names(args: argparse.Namespace) -> list[str]:
    """The rewards' names. Raises `UserError` for all that can be told before anything is loaded."""
    from suder_bench import registry

    names = list(dict.fromkeys(name.strip() for name in args.rewards.split(",")))
    for name in names:
        if name not in registry.table("rewards"):
            raise unknown("reward", name, registry.table("rewards"))
    benchmarks = registry.table("benchmarks")
    drawing = [name for name in benchmarks if registry.load("benchmarks", name).kind == "generation"]
    if args.prompts not in drawing:
        raise unknown("generation benchmark", args.prompts, drawing)
    if args.samples < 2:
        raise UserError("--samples 1 leaves nothing to choose from; give 2 or more")
    return names


def _run(args: argparse.Namespace) -> tuple[Run, Path]:
    from suder_bench.models import reference
    from suder_bench.runs.execute import Run

    args.suite, args.benchmark, args.repeats = None, [args.prompts], args.samples
    model, settings = options.settings(args, lambda: reference.choose(args.model))
    out: Path = args.out or Path("runs") / f"{model.label}-rewards"
    if (out / "run.json").is_file():
        raise UserError(f"{out} is a run folder; choose another --out for the comparison")
    return Run(out / "samples", model, settings, batch_size=args.batch_size, fresh=args.fresh), out


def _compare(
    run: Run, out: Path, model: Model, names: Sequence[str], args: argparse.Namespace, screen: Screen
) -> tuple[dict[str, Any], bool]:
    """Sample, judge, reward, and write everything into `out`; returns the document of --json, and whether all of it could be."""
    from suder_bench import registry
    from suder_bench.models.protocols import StoredPictures, TextToImage
    from suder_bench.reports import rewards as report
    from suder_bench.reports.reward_gallery import gallery
    from suder_bench.rewards import sampled
    from suder_bench.rewards.compare import compare
    from suder_bench.runs.jsonl import document, replace_file

    if not isinstance(model, TextToImage | StoredPictures):
        raise UserError(
            f"model '{model.name}' draws no pictures, so that there is nothing to reward; choose one that does (janus)"
        )
    loaded = {name: registry.load("rewards", name).load(model) for name in names}
    drawn = sampled.draw(run, model, loaded, screen)
    written = _captions(run, out, model, loaded, len(drawn.given) if args.captions is None else args.captions, screen)
    found = {
        "schema": 1,
        "model": run.model.name,
        "benchmark": args.prompts,
        "world": run.settings.source.world,
        "seed": run.settings.seed,
        "samples": str(run.out),
        "pictures": _entry(drawn, compare(drawn.samples)),
        "captions": None if written is None else _entry(written, compare(written.samples)),
    }
    replace_file(out / "compare.json", document(found).encode())
    replace_file(out / "compare.md", report.markdown(found, drawn, written).encode())
    gallery(drawn, out / "disagreements.png", cases=report.CASES)
    try:
        report.figure(found, out / "compare.png")
    except UserError as error:
        screen.say(f"suder-bench: {error}")
        return found, False
    return found, True


def _captions(run: Run, out: Path, model: Model, loaded: Mapping[str, Any], pictures: int, screen: Screen) -> Sampled | None:
    """Captions with the rewards that score them, or None, saying why, where there can be none."""
    from suder_bench.models.protocols import ImageToText, TellsItsWorld
    from suder_bench.rewards import sampled
    from suder_bench.rewards.protocols import CaptionReward
    from suder_bench.runs.jsonl import Ledger

    able = {name: reward for name, reward in loaded.items() if isinstance(reward, CaptionReward)}
    if not pictures or not able:
        return None
    if not (isinstance(model, TellsItsWorld) and model.world and isinstance(model, ImageToText)):
        screen.say("captions are compared on the world only, for a model trained on it")
        return None
    if run.fresh:
        Ledger(out / "captions").repair(lambda row: False)
    return sampled.write(
        model,
        model.fingerprint,
        able,
        pictures=pictures,
        repeats=run.settings.repeats or 1,
        seed=run.settings.seed,
        out=out / "captions",
        screen=screen,
    )


def _entry(sampled: Sampled, compared: dict[str, Any]) -> dict[str, Any]:
    for name, entry in compared["rewards"].items():
        entry["milliseconds"] = round(1000 * sampled.seconds[name], 3)
    return {**compared, "skipped": sampled.skipped}
