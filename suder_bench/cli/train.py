"""`suder-bench train`: self-improve a checkpoint by a recipe."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError, install

if TYPE_CHECKING:
    from suder_bench.training.recipe import Recipe


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    options.prepare(offline=args.offline, rehash=args.rehash)
    if importlib.util.find_spec("accelerate") is None:
        raise UserError(f"training needs the package accelerate; install it with {install('train')}")
    if args.config is None and args.out is None:
        raise UserError("give --config RECIPE, or --out DIR --resume to go on with a training")
    config = args.config
    if config is None:
        config = str(args.out / "recipe.yaml")
        if not (args.resume and Path(config).is_file()):
            raise UserError(f"{args.out} holds no training to resume; start one with --config RECIPE")
    from suder_bench.training.recipe import read_placed

    recipe, place = read_placed(config, args.set)
    recipe, label = _asked(args, recipe, place)
    first = os.environ.get("RANK", "0") == "0"

    def say(line: str) -> None:
        if first:
            print(f"suder-bench: {line}", file=sys.stderr, flush=True)

    if args.dry_run:
        from suder_bench.training.preview import foresee

        found = foresee(recipe, place, say)
        if first:
            lines = [*found.facts, *(f"missing: {line}" for line in found.missing)]
            print(recipe.as_yaml() + "".join(f"# {line}\n" for line in lines), end="")
        return 0
    device, dtype = _machine(args.device)
    from suder_bench.training.strategies import Training

    out = args.out or Path("runs") / f"{label}-{Path(config).stem}"
    steps = Training(recipe, out, device=device, dtype=dtype, offline=args.offline, say=say, place=place).run(resume=args.resume)
    say(f"{steps} steps; checkpoints are in {out}; suder-bench track {out} --suite gen evaluates them")
    return 0


def _parser() -> parsing.Parser:
    parser = parsing.Parser(
        "train",
        "Train a checkpoint with its own rewards. On several processes: accelerate launch -m suder_bench train ...",
    )
    parser.add_argument("--config", metavar="RECIPE", help="a shipped recipe's name, or a YAML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="put over the recipe; dotted keys go into groups"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default: runs/MODEL-RECIPE)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--dry-run", action="store_true", help="print the whole recipe and what it will meet, and train nothing")
    options.add_model_arguments(parser)
    options.add_device(parser)
    return parser


def _asked(args: argparse.Namespace, recipe: Recipe, place: Callable[[str], str]) -> tuple[Recipe, str]:
    """The recipe with what the options ask of its model, which is part of its name from then on, and a name for folders."""
    from suder_bench.training.recipe import blamed

    if not options.model_arguments(args) and args.base is None:
        return recipe, Path(recipe.model).name
    with blamed(place, "model"):
        chosen = options.choose_model(args, recipe.model, fetch=False)
    return replace(recipe, model=chosen.name), chosen.label


def _machine(device: str) -> tuple[str, str]:
    """Weights are float32 wherever they learn: a small step would be lost in 16 bits, and `trainer.bf16` computes in them."""
    return options.machine(device, "float32")
