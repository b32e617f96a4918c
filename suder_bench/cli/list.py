"""`suder-bench list`: every name that the other commands take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from suder_bench import registry, suites
from suder_bench.cli import options

KINDS = ("benchmarks", "models", "judges", "recipes", "rewards", "suites")


def main(argv: Sequence[str]) -> int:
    parser = options.Parser("list", "List names: of everything, or of one kind.")
    parser.add_argument("kind", nargs="?", choices=KINDS, help="what to list")
    options.add_json(parser)
    args = parser.parse_args(argv)
    names = {kind: listed(kind) for kind in ([args.kind] if args.kind else KINDS)}
    if args.json:
        import json

        sys.stdout.write(json.dumps(names, indent=2) + "\n")
        return 0
    for kind, found in names.items():
        print(kind)
        width = max(map(len, found), default=0) + 2
        for name, says in found.items():
            print(f"  {name:<{width}}{', '.join(says) if isinstance(says, list) else says}")
        if not found:
            print("  (none)")
    return 0


def listed(kind: str) -> dict[str, Any]:
    """Name -> where it comes from; for suites their benchmarks, of judges a role's back-ends, of recipes the first line."""
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
        shipped = {name: f"shipped checkpoint ({adapter})" for name, (adapter, _) in registry.CHECKPOINTS.items()}
        return shipped | {f"{name}:REFERENCE": target for name, target in registry.table("models").items()}
    return dict(registry.table("benchmarks" if kind == "benchmarks" else "rewards"))
