"""`suder-bench list`: every name that the other commands take."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from suder_bench import registry, suites
from suder_bench.about import ABOUT
from suder_bench.cli import options, parsing
from suder_bench.errors import UserError

KINDS = ("benchmarks", "models", "judges", "recipes", "rewards", "suites")


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser("list", "List names: of everything, or of one kind.")
    parser.add_argument("kind", nargs="?", choices=KINDS, help="what to list")
    parser.add_argument("--lmms", nargs="?", const="*", metavar="PATTERN", help="tasks and groups of lmms-eval, such as 'pope*'")
    parser.add_argument("--data", type=Path, metavar="DIR", help="with --lmms, a folder of YAML files of more tasks")
    parser.add_argument("--card", metavar="BENCHMARK", help="its paper, data, licence, judges, protocols and traps, as Markdown")
    options.add_json(parser)
    args = parser.parse_args(argv)
    for given, name in ((args.kind, args.kind), (args.lmms, "--lmms")):
        if args.card is not None and given is not None:
            raise UserError(f"--card {args.card} is one benchmark's page; leave {name} out")
    if args.data is not None and args.lmms is None:
        raise UserError(f"--data {args.data} is for --lmms; leave it out, or give --lmms")
    if args.card is not None:
        if args.json:
            raise UserError("--card is a page of Markdown; leave --json out")
        from suder_bench.evaluators.cards import page

        sys.stdout.write(page(args.card, "docs/"))
        return 0
    names = tasks(args.lmms, args.data) if args.lmms else {kind: listed(kind) for kind in ([args.kind] if args.kind else KINDS)}
    if args.json:
        import json

        sys.stdout.write(json.dumps(names, indent=2) + "\n")
        return 0
    for kind, found in names.items():
        print(kind)
        for name, says in found.items():
            _show(name, *((ABOUT.get(kind, {}).get(name, ""), ", ".join(says)) if isinstance(says, list) else (says, "")))
        if not found:
            print("  (none)")
    return 0


def tasks(pattern: str, data: Path | None) -> dict[str, Any]:
    """{"lmms": names}; see `suder_bench.lmms.catalogue.listed`."""
    from suder_bench.lmms.catalogue import listed

    if data is not None and not data.is_dir():
        raise UserError(f"--data '{data}' is no folder")
    return {"lmms": listed(pattern, None if data is None else data.resolve())}


def _show(name: str, says: str, holds: str) -> None:
    """A name with what it is, and below what it holds: a suite's benchmarks, a role's back-ends."""
    columns = min(shutil.get_terminal_size((80, 24)).columns, 120)
    first, rest = f"  {name:<20}  ", " " * 24
    texts = [text for text in (says, holds) if text]
    for text, start in zip(texts, (first, rest), strict=False):
        print("\n".join(textwrap.wrap(text, columns, initial_indent=start, subsequent_indent=rest, break_on_hyphens=False)))


def listed(kind: str) -> dict[str, Any]:
    """Name -> what it is, or where an outside package's comes from; of suites their benchmarks, of judges a role's back-ends, of
    recipes the first line."""
    if kind == "suites":
        return {name: list(benchmarks) for name, benchmarks in suites.SUITES.items()}
    if kind == "recipes":
        folder = files("suder_bench.training").joinpath("recipes")
        recipes = sorted(file.name for file in folder.iterdir() if file.name.endswith(".yaml"))
        first = {name: folder.joinpath(name).read_text(encoding="utf-8").partition("\n")[0] for name in recipes}
        return {name.removesuffix(".yaml"): line.lstrip("# ") for name, line in first.items()}
    if kind == "judges":
        roles: dict[str, list[str]] = {}
        for name in registry.table("judges"):
            role, _, backend = name.partition("/")
            roles.setdefault(role, []).append(backend)
        return roles
    if kind == "models":
        adapters = {f"{name}:REFERENCE": target for name, target in registry.table("models").items()}
        return _told(kind, dict.fromkeys(registry.CHECKPOINTS, "shipped checkpoint") | adapters)
    if kind == "rewards":
        return _told(kind, {**registry.table("rewards"), "evaluator:BENCHMARK": "", "remote:URL": ""})
    return _told(kind, registry.table("benchmarks"))


def _told(kind: str, targets: Mapping[str, str]) -> dict[str, str]:
    return {name: ABOUT[kind].get(name, f"from another package: {target}") for name, target in targets.items()}
