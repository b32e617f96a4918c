"""`suder-bench reward compare`: which reward picks the better samples of a model, before anyone trains with it?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError, unknown

if TYPE_CHECKING:
    from suder_bench.models.protocols import Model
    from suder_bench.models.reference import ModelReference
    from suder_bench.rewards.sampled import Pictures, Sampled
    from suder_bench.rewards.srum import Judging
    from suder_bench.runs.plan import Settings
    from suder_bench.runs.screen import Screen

ACTIONS = ("compare",)
SAMPLES = 8
FILES = (".txt", ".jsonl", ".json")


@dataclass(frozen=True)
class Asked:
    """What to compare on: the prompts of `benchmark`, or `prompts` of a file; `model` is who is rewarded, by srum as `judging`
    says."""

    out: Path
    model: ModelReference
    settings: Settings
    benchmark: str | None
    prompts: Sequence[str] | None
    judging: Judging


def main(argv: Sequence[str]) -> int:
    if not argv or argv[0] not in (*ACTIONS, "--help", "-h"):
        raise unknown("reward command", argv[0] if argv else "", ACTIONS)
    args = _parser().parse_args(argv[1:] if argv[0] in ACTIONS else argv)
    options.prepare(offline=args.offline, rehash=args.rehash)
    from suder_bench.rewards import named
    from suder_bench.runs.screen import Screen

    screen = Screen()
    asked = _asked(args)
    names = named.names(args.rewards, asked=asked.benchmark)
    model = asked.model.load(device=asked.settings.device, dtype=asked.settings.dtype)
    found, complete = _compare(asked, model, names, args, screen)
    if args.json:
        from suder_bench.runs.jsonl import document

        sys.stdout.write(document(found))
    else:
        from suder_bench.reports.rewards import table

        print(table(found))
    screen.say(f"result: {asked.out / 'compare.md'}")
    return 0 if complete else 1


def _parser() -> parsing.Parser:
    parser = parsing.Parser(
        "reward compare",
        "Draw several pictures of each prompt (and captions of the world's pictures), or take those of a run or from elsewhere, "
        "and tell how well each reward agrees with the benchmark's verdicts. The same command again goes on where it stopped.",
    )
    parser.under("model").add_argument(
        "--model", help="who draws, and is asked by its own rewards; as for run (default with --run: the run's)"
    )
    options.add_model_arguments(parser)
    parser.add_argument(
        "--rewards",
        default="dsr,clip",
        metavar="NAME,NAME",
        help="see suder-bench list rewards; evaluator:BENCHMARK for its verdict, remote:URL for a served one (default: dsr,clip)",
    )
    parser.add_argument(
        "--prompts",
        metavar="BENCHMARK|FILE",
        help="a generation benchmark, or a .txt, .jsonl or .json file of prompts, which have no verdict (default: geneval)",
    )
    parser.add_argument("--run", type=Path, metavar="RUN", help="take the pictures and verdicts of this run, drawing nothing")
    parser.add_argument("--images", type=Path, metavar="DIR", help="take pictures made elsewhere, in the benchmark's layout")
    parser.add_argument(
        "--samples",
        type=parsing.positive,
        metavar="N",
        help=f"of each prompt, 2 or more (default: {SAMPLES}; with --images as many as the benchmark's own)",
    )
    parser.add_argument(
        "--captions",
        metavar="N|FILE",
        help="pictures of the world to caption, 0 for none (default: as many as prompts), or a .jsonl of captions made elsewhere",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="srum.KEY=VALUE",
        help="how the reward srum judges, as in a recipe: srum.boxes=model, srum.score=text, srum.cells=2, srum.scalar=global",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="samples and results (default: runs/MODEL-rewards)")
    parser.add_argument("--fresh", action="store_true", help="start over, discarding the samples")
    options.add_responses(parser, "the checkpoint")
    options.add_workers(parser, judges=False)
    options.add_json(parser)
    return parser


def _asked(args: argparse.Namespace) -> Asked:
    """Raises `UserError` for all that can be told before anything is loaded."""
    from suder_bench import registry
    from suder_bench.rewards.evaluator import generation_benchmarks

    _check(args)
    written = _captions_file(args)
    if written is not None:
        from suder_bench.rewards import captions

        captions.read(written)
    drawing = generation_benchmarks()
    prompts = None
    if _is_file(args.prompts) and args.run is None and args.images is None:
        from suder_bench.training.prompts import read_prompts

        prompts = read_prompts([args.prompts], lambda line: None, offline=True)
    elif args.prompts is not None and args.prompts not in drawing:
        raise unknown("generation benchmark", args.prompts, [*drawing, *(f"FILE{suffix}" for suffix in FILES)])
    benchmark = None if prompts is not None else args.prompts
    name: str = args.model
    made: dict[str, Any] = {}
    if args.run is not None:
        benchmark, name, made = _run(args)
    elif prompts is None:
        benchmark = benchmark or "geneval"
    samples = SAMPLES if args.images is None or benchmark is None else registry.load("benchmarks", benchmark).repeats
    args.suite, args.benchmark, args.repeats = None, [benchmark or drawing[0]], args.samples or samples
    args.allow_missing = 0  # of questions, which nobody asks here
    model, settings = options.settings(args, lambda: _chosen(args, name))
    settings = replace(settings, **made)
    out: Path = args.out or Path("runs") / f"{model.label}-rewards"
    if (out / "run.json").is_file():
        raise UserError(f"{out} is a run folder; choose another --out for the comparison")
    return Asked(out, model, settings, benchmark, prompts, _judging(args.set))


def _check(args: argparse.Namespace) -> None:
    """Raises `UserError` for options that say nothing beside others."""
    if args.run is not None and (args.images is not None or args.samples is not None):
        raise UserError("--run has its own pictures; leave out --images and --samples")
    if args.run is not None:
        given = {
            "--prompts": args.prompts if _is_file(args.prompts) else None,
            "--data": args.data,
            "--size": args.size,
            "--guidance": args.guidance,
            "--steps": args.steps,
            "--fresh": args.fresh or None,
        }
        for option, value in given.items():
            if value is not None:
                raise UserError(f"--run has its own pictures, prompts and judges; leave out {option}")
    if args.samples == 1:
        raise UserError("--samples 1 leaves nothing to choose from; give 2 or more")
    if args.model is None and args.run is None:
        raise UserError("whose rewards? give --model, or --run RUN for those of a run's model")


def _judging(sets: Sequence[str]) -> Judging:
    """Raises `UserError` for any other setting, and for values that are none."""
    from suder_bench.rewards import proposals
    from suder_bench.rewards.srum import Judging
    from suder_bench.training.placed_yaml import Tree, build

    tree = Tree.of_sets(sets)
    others = [one for name, one in tree.children.items() if name != "srum"]
    if others:
        raise UserError(f"{others[0].place}: only srum.KEY=VALUE can be set here; other rewards have no settings")
    judging: Judging = build(Judging, tree.children["srum"], "srum") if sets else Judging()
    for name, value in (("cells", judging.cells), ("most", judging.most)):
        if value < 1:
            raise UserError(f"--set srum.{name}={value}: it must be above 0")
    proposals.check(judging.boxes)
    return judging


def _is_file(prompts: str | None) -> bool:
    return prompts is not None and Path(prompts).suffix in FILES


def _chosen(args: argparse.Namespace, name: str) -> ModelReference:
    """Raises `UserError` also for a run's model whose code was trusted then: a file says so, and nobody here and now."""
    from suder_bench.models.arguments import TRUST

    chosen = options.choose_model(args, name)
    if args.model is None and TRUST in chosen.asked and not args.trust_remote_code:
        raise UserError(f"{args.run} was made with code that lies in the checkpoint; --trust-remote-code runs it again")
    return chosen


def _run(args: argparse.Namespace) -> tuple[str, str, dict[str, Any]]:
    """The benchmark of a run that is compared on, its model unless another is given, and the settings that are the run's."""
    from suder_bench.rewards.sampled import benchmark_of
    from suder_bench.runs.recipe import settings_of

    benchmark, recipe = benchmark_of(args.run, args.prompts)
    source = settings_of(recipe, judges={}, offline=args.offline).source
    return benchmark, args.model or recipe["model"]["name"], {"source": source, "seed": recipe["seed"]}


def _compare(
    asked: Asked, model: Model, names: Sequence[str], args: argparse.Namespace, screen: Screen
) -> tuple[dict[str, Any], bool]:
    """Sample, judge, reward, and write everything into `out`; returns the document of --json, and whether all of it could be."""
    from suder_bench.reports import rewards as report
    from suder_bench.reports.rewards.gallery import gallery
    from suder_bench.rewards import kept, named, sampled
    from suder_bench.rewards.compare import compare
    from suder_bench.rewards.protocols import TellsItsJudges, failures_of
    from suder_bench.runs.jsonl import document, replace_file

    out = asked.out
    loaded = {name: named.load(name, model, asked.settings, screen.say, asked.prompts, asked.judging) for name in names}
    pictures = _pictures(asked, model, loaded, args, screen)
    drawn = sampled.rewarded(pictures, loaded, screen)
    written = _captions(asked, model, loaded, drawn, args, screen)
    found = {
        "schema": 1,
        "model": asked.model.name,
        "benchmark": asked.benchmark,
        "prompts": None if asked.prompts is None else args.prompts,
        "world": asked.settings.source.world,
        "seed": asked.settings.seed,
        "samples": str(args.run or out / "samples"),
        "images": None if args.images is None else str(args.images),
        "pictures_by": _painter(asked, args),
        "captions_by": str(_captions_file(args) or asked.model.name),
        "pictures": _entry(drawn, compare(drawn.samples)),
        "captions": None if written is None else _entry(written, compare(written.samples)),
    }
    found |= _deviations(asked, args, model)
    remote = {name: dict(reward.told()) for name, reward in loaded.items() if isinstance(reward, TellsItsJudges)}
    found |= {"remote": remote} if remote else {}
    failures = failures_of(loaded)
    found |= {"failures": failures} if failures else {}
    found |= {"srum": asdict(asked.judging)} if args.set else {}
    replace_file(out / "compare.json", document(found).encode())
    replace_file(out / "compare.md", report.markdown(found, drawn, written).encode())
    kept.write(out, drawn, written)
    gallery(drawn, out / "disagreements.png", given=[out, *([args.run] if args.run else [])], cases=report.CASES)
    try:
        report.figure(found, out / "compare.png")
    except UserError as error:
        screen.say(f"suder-bench: {error}")
        return found, False
    return found, True


def _captions_file(args: argparse.Namespace) -> Path | None:
    """Of captions made elsewhere; None where they are written here, so many as `--captions` says."""
    return None if args.captions is None or args.captions.isdecimal() else Path(args.captions)


def _deviations(asked: Asked, args: argparse.Namespace, model: Model) -> dict[str, Any]:
    """What sets the run of the pictures apart from its benchmark, or the model that is rewarded from others, if anything does."""
    from suder_bench.runs.deviations import deviations, of_weights
    from suder_bench.runs.store import RunFolder

    recipe = RunFolder(args.run or asked.out / "samples").read() or {}
    marks = of_weights(model.settings) + ([] if asked.benchmark is None else deviations(recipe, asked.benchmark))
    return {"deviations": list(dict.fromkeys(marks))} if marks else {}


def _painter(asked: Asked, args: argparse.Namespace) -> str:
    """Who drew the pictures: a model, or the folder they are in."""
    from suder_bench.rewards.sampled import benchmark_of

    if args.run is not None:
        return str(benchmark_of(args.run, args.prompts)[1]["model"]["name"])
    return asked.model.name if args.images is None else str(args.images)


def _pictures(asked: Asked, model: Model, rewards: Mapping[str, Any], args: argparse.Namespace, screen: Screen) -> Pictures:
    from suder_bench.models import reference
    from suder_bench.models.protocols import StoredPictures, TextToImage
    from suder_bench.rewards import named, sampled
    from suder_bench.runs.execute import Run
    from suder_bench.runs.respond import check_sampling

    settings = asked.settings
    if (args.workers, args.ray) != (None, None) and (args.run, args.images, asked.prompts) != (None, None, None):
        given = "--ray" if args.workers is None else "--workers"
        raise UserError(f"{given} draw a benchmark's pictures; leave it out with --run, --images and prompts of a file")
    if args.run is not None:
        assert asked.benchmark is not None
        return sampled.of_run(args.run, asked.benchmark, screen, offline=settings.offline).fewer(
            settings.limited.of(asked.benchmark)
        )
    painter, who = model, asked.model
    if args.images is not None:
        who = reference.choose(f"folder:{args.images}")
        painter = who.load(device=settings.device, dtype=settings.dtype)
    if not isinstance(painter, TextToImage | StoredPictures) or (
        asked.prompts is not None and not isinstance(painter, TextToImage)
    ):
        raise UserError(
            f"model '{painter.name}' draws no pictures, so that there is nothing to reward; choose one that does (janus)"
        )
    check_sampling(painter, settings.image)
    if asked.prompts is None:
        staffing = options.staffing(args, settings.device)
        run = Run(asked.out / "samples", who, settings, batch_size=args.batch_size, fresh=args.fresh, staffing=staffing)
        return sampled.draw(run, painter, screen)
    assert isinstance(painter, TextToImage)
    named.check(list(rewards.values()), asked.prompts)
    return sampled.for_prompts(
        painter,
        {"weights": model.fingerprint, **settings.image.said()},
        asked.prompts[: settings.limit],
        repeats=settings.repeats or SAMPLES,
        seed=settings.seed,
        sampling=settings.image,
        out=asked.out / "samples",
        screen=screen,
        fresh=args.fresh,
    )


def _captions(
    asked: Asked, model: Model, loaded: Mapping[str, Any], drawn: Sampled, args: argparse.Namespace, screen: Screen
) -> Sampled | None:
    """Captions with the rewards that score them, or None, saying why, where there can be none."""
    from suder_bench.models.protocols import ImageToText, TellsItsWorld
    from suder_bench.rewards import captions
    from suder_bench.rewards.protocols import CaptionReward
    from suder_bench.runs.jsonl import Ledger

    able = {name: reward for name, reward in loaded.items() if isinstance(reward, CaptionReward)}
    file = _captions_file(args)
    if file is not None:
        if not able:
            raise UserError(f"--captions {file}: none of the rewards {', '.join(loaded)} scores captions; add dsr or clip")
        return captions.rewarded(file, able, screen)
    pictures = len(drawn.given) if args.captions is None else int(args.captions)
    if not pictures or not able:
        return None
    if not (isinstance(model, TellsItsWorld) and model.world and isinstance(model, ImageToText)):
        screen.say("captions are compared on the world only, for a model trained on it")
        return None
    if args.fresh:
        Ledger(asked.out / "captions").repair(lambda row: False)
    return captions.write(
        model,
        model.fingerprint,
        able,
        pictures=pictures,
        repeats=drawn.samples.words.shape[1],
        seed=asked.settings.seed,
        out=asked.out / "captions",
        screen=screen,
    )


def _entry(sampled: Sampled, compared: dict[str, Any]) -> dict[str, Any]:
    for name, entry in compared["rewards"].items():
        cost = sampled.costs[name]
        entry["milliseconds"] = round(1000 * cost.seconds, 3)
        entry["megabytes"] = None if cost.bytes is None else round(cost.bytes / 1e6, 3)
    return {**compared, "skipped": sampled.skipped}
