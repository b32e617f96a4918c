"""`suder-bench verify`: is a run folder what a run left there, and does it come out again?"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError
from suder_bench.machine import choose_device, use_one_thread

if TYPE_CHECKING:
    from suder_bench.models.reference import ModelReference
    from suder_bench.runs.plan import Settings
    from suder_bench.runs.screen import Screen
    from suder_bench.runs.verify import Checked

SHOWN = 20
"""Differences that are told one by one."""


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    options.prepare(offline=args.offline, rehash=args.rehash)
    use_one_thread()
    from suder_bench.runs.jsonl import document
    from suder_bench.runs.plan import data_read_once
    from suder_bench.runs.screen import Screen
    from suder_bench.runs.verify import OK

    with data_read_once():
        checked, seed = _checked(args, Screen())
    found = {"schema": 1, "run": str(args.run), "seed": seed, **checked.document()}
    sys.stdout.write(document(found) if args.json else render(found) + "\n")
    return 0 if checked.verdict == OK else 1


def render(found: Mapping[str, Any]) -> str:
    """The document as lines: what was looked at, what differs, file by file, what could not be told, and the verdict."""
    counts = ", ".join(f"{number:,} {what}" for what, number in found["checked"].items())
    lines = [f"looked at  {counts or 'nothing'}"]
    for what, done in (("judged", "rejudged"), ("made", "redrawn")):
        for name, one in found.get(done, {}).items():
            lines.append(f"{what} again  {name}: {one['same']:,} of {one['responses']:,} the same")
    if seed := found["seed"]:
        lines.append(f"chosen by  --seed {seed}")
    by_file: dict[str, list[str]] = {}
    for one in found["differences"]:
        by_file.setdefault(one["file"], []).append(one["what"])
    for file, own in by_file.items():
        more = [f"and {len(own) - SHOWN:,} more"] if len(own) > SHOWN else []
        lines += [file, *(f"  {line}" for line in [*own[:SHOWN], *more])]
    lines += [f"not told  {line}" for line in found["untold"]]
    lines += [f"note  {line}" for line in found["remarks"]]
    files = textwrap.shorten(", ".join(by_file), 200, placeholder=" ...")
    ends = {
        "ok": "ok: this is what the run left here",
        "differs": f"differs: {files}",
        "cannot tell": "cannot tell: nothing differs, but not all could be looked at",
    }
    return "\n".join([*lines, ends[found["verdict"]]])


def _parser() -> argparse.ArgumentParser:
    parser = parsing.Parser(
        "verify",
        "Hold everything in a run folder against everything else in it and against its data: digests of responses, pictures "
        "and files, seeds, and every number made anew from the verdicts. Writes nothing. Exit 1 where anything differs, or could "
        "not be looked at.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument(
        "--rejudge", nargs="?", type=_share, const=1.0, metavar="SHARE", help="judge all responses again, or a random share (0.1)"
    )
    parser.add_argument(
        "--redraw", type=parsing.positive, metavar="N", help="make N random responses again from their seeds, and compare them"
    )
    parser.add_argument(
        "--seed", type=parsing.positive, metavar="N", help="choose the same ones as another time (default: by chance)"
    )
    model = parser.under("model")
    model.add_argument("--model", metavar="MODEL", help="where the run's model is here, for --redraw (default: as in run.json)")
    options.add_model_arguments(parser)
    parser.under("benchmarks and data").add_argument(
        "--data", metavar="DIR", help="where the run's data are here (default: as in run.json)"
    )
    options.add_judges(parser)
    options.add_machine(parser)
    options.add_json(parser)
    return parser


def _share(text: str) -> float:
    value = parsing.more_than_nothing(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a share, above 0 and up to 1; 0.1 is a tenth")
    return value


def _checked(args: argparse.Namespace, screen: Screen) -> tuple[Checked, int | None]:
    """What was found, and the seed of what was chosen by chance, where anything was."""
    from suder_bench.data import source
    from suder_bench.runs.store import RunFolder
    from suder_bench.runs.verify import Checked, check

    for name in ("model", "base"):
        if getattr(args, name) is not None and args.redraw is None:
            raise UserError(f"--{name} is for --redraw; leave it out, or give --redraw N")
    for name in ("judge", "judge_args", "judge_device", "judge_dtype", "judge_budget", "judge_price"):
        if getattr(args, name) and args.rejudge is None:
            raise UserError(f"--{name.replace('_', '-')} is for --rejudge; leave it out, or give --rejudge")
    if args.seed is not None and args.rejudge is None and args.redraw is None:
        raise UserError("--seed is for --rejudge and --redraw; leave it out, or give one of them")
    where = None if args.data is None else source.choose(args.data, None, world_model=False)
    checked = Checked()
    tasks = check(args.run, checked, source=where, say=screen.say)
    if not tasks or not (args.rejudge or args.redraw):
        return checked, None
    folder = RunFolder(args.run)
    recipe = folder.read()
    assert recipe is not None
    seed = args.seed or 1 + secrets.randbelow(2**31)
    settings = _settings(args, recipe)
    if args.rejudge:
        from suder_bench.runs import again, judges

        chosen = judges.chosen_for(tasks, settings)
        given = {"device": settings.judge_device, "dtype": settings.judge_dtype, "offline": args.offline}
        panel = judges.seat(chosen, known_answers=args.known_answers, terms=settings.terms, say=screen.say, **given)
        again.rejudge(folder, recipe, tasks, panel, args.rejudge, random.Random(seed), checked, screen)
    if args.redraw:
        from suder_bench.runs import again

        reference = _model(args, recipe)
        model = reference.load(device=settings.device, dtype=settings.dtype)
        again.redraw(folder, recipe, tasks, model, settings, args.redraw, random.Random(seed), checked, screen)
    return checked, seed


def _settings(args: argparse.Namespace, recipe: Mapping[str, Any]) -> Settings:
    """The run's, on this machine."""
    from dataclasses import replace

    from suder_bench.runs.recipe import settings_of
    from suder_bench.terms import checked

    device = choose_device(args.device if args.device != "auto" else _there(recipe["device"]))
    settings = settings_of(
        recipe,
        judges={**recipe.get("judge_choice", {}), **options.judges(args.judge)},
        judge_device=choose_device(args.judge_device or device),
        judge_dtype=args.judge_dtype or recipe.get("judge_dtype", "auto"),
        known_answers=args.known_answers,
        terms=options.judge_terms(args, checked(recipe.get("judge_args", {}), f"{args.run / 'run.json'}: judge_args")),
        offline=args.offline,
    )
    return replace(settings, device=device, dtype=recipe["dtype"] if args.dtype == "auto" else args.dtype)


def _there(device: str) -> str:
    """The run's device where this machine has it, else what it has."""
    try:
        return choose_device(device)
    except UserError:
        return "auto"


def _model(args: argparse.Namespace, recipe: Mapping[str, Any]) -> ModelReference:
    """Raises `UserError` for a model that a run folder must not choose: whoever sent it might have written its name."""
    from suder_bench.models import reference
    from suder_bench.models.arguments import TRUST

    name = recipe["model"]["name"]
    if args.model is not None:
        return options.choose_model(args, args.model)
    found = reference.choose(name, options.model_arguments(args), base=args.base)
    if found.adapter in reference.BEHIND_ADDRESS or TRUST in found.asked:
        what = "is behind an address" if found.adapter in reference.BEHIND_ADDRESS else "brings code of its own"
        raise UserError(f"the model of {args.run} {what} ('{name}'); if you trust it, name it yourself: --model '{name}'")
    return found
