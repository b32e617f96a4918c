"""`suder-bench judges`: list, fetch and check the weights of the official judges."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError, install, unknown

if TYPE_CHECKING:
    from suder_bench.evaluators.judges.manifest import Weight

ACTIONS = {
    "list": "list the files of the official judges: address, size, licence, sha256, and whether they are here",
    "fetch": "bring the files that are missing, resumed where a download broke off, and checked by sha256",
    "verify": "read the files at hand again and compare what they hash to",
}


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser(
        "judges", "Weights of the official judges: " + "; ".join(f"{name}: {does}" for name, does in ACTIONS.items()) + "."
    )
    parser.add_argument("action", choices=ACTIONS, help="see suder-bench judges ACTION --help")
    action = parser.parse_args(argv[:1]).action
    return {"list": _list, "fetch": _fetch, "verify": _verify}[action](argv[1:])


def _list(argv: Sequence[str]) -> int:
    parser = _parser("list")
    options.add_json(parser)
    args = parser.parse_args(argv)
    folder, weights = _folder(args), _weights(args)
    if args.json:
        from suder_bench.runs.jsonl import document

        listed = [{**asdict(one), "place": one.place(folder), "state": one.state(folder)} for one in weights]
        sys.stdout.write(document({"schema": 1, "weights": folder, "files": listed}))
        return 0
    from suder_bench.evaluators.judges.fetching import amount

    for (network, roles), group in groupby(weights, key=lambda one: (one.network, one.roles)):
        print(f"{network} ({roles})")
        own = list(group)
        for one in own:
            print(f"  {one.state(folder):<8} {amount([one]):>14}  {one.licence}  {one.place(folder)}")
            print(f"{'':11}from {one.address}")
            published = f" (published {one.published})" if one.sha256 else ""
            print(f"{'':11}sha256 {one.sha256 or 'unknown'}{published}: {one.whence}")
        if "parser" in roles.split():
            print(f"{'':11}read by spaCy, whose version does not matter: {install('parser')}")
            print(f"{'':11}or, instead of fetching it: pip install --no-deps {own[0].url}")
    print(f"{folder}: {amount(weights)} in all")
    return 0


def _fetch(argv: Sequence[str]) -> int:
    parser = _parser("fetch")
    parser.add_argument("--replace", action="store_true", help="also fetch again what is there but not the official file")
    parser.add_argument(
        "--keep-another",
        action="store_true",
        help="keep a file of another sha256 than one list alone has published, as another file",
    )
    parser.add_argument("--offline", action="store_true", help="never use the network: only say what is missing")
    args = parser.parse_args(argv)
    from suder_bench.evaluators.judges.fetching import ensure
    from suder_bench.evaluators.judges.spacy_model import unpacked
    from suder_bench.runs.screen import Screen

    folder, weights = _folder(args), _weights(args)
    fetched = ensure(weights, folder, Screen().say, offline=args.offline, replace=args.replace, keep=args.keep_another)
    print(f"{len(weights)} files of official judges are in {folder}, {fetched} of them new")
    for one in weights:
        if one.name.endswith(".whl"):
            print(f"{one.name}: unpacked into {unpacked(one.place(folder), folder)}; pip is not needed for it")
        if args.keep_another and one.lone and (fault := one.fault(one.place(folder))):
            print(f"{one.name}: another file ({fault}); numbers made with it stand apart from published ones")
        if not one.sha256:
            print(f"{one.name}: official, digest unknown; suder-bench judges verify {one.roles} prints what it hashes to")
    return 0


def _verify(argv: Sequence[str]) -> int:
    args = _parser("verify").parse_args(argv)
    from suder_bench.evaluators.judges.manifest import digest

    folder, weights = _folder(args), _weights(args)
    there = {one.roles for one in weights if one.place(folder).is_file()}
    weights = [one for one in weights if one.roles in there or args.roles]
    if not there:
        raise UserError(f"no weights of official judges in {folder}; get them with suder-bench judges fetch")
    bad: list[Weight] = []
    for one in weights:
        place = one.place(folder)
        found = digest(place) if place.is_file() else ""
        fault = one.fault(place, found) if found else "missing"
        bad += [one] * bool(fault)
        says = fault or ("the official file" if one.sha256 else f"digest unknown: {one.whence}")
        print(f"{place}: {says}" + (f"\n  sha256 {found}" if found else ""))
    if bad:
        roles = " ".join(dict.fromkeys(role for one in bad for role in one.roles.split()))
        print(f"suder-bench: get them again with suder-bench judges fetch {roles} --replace", file=sys.stderr)
    return 1 if bad else 0


def _parser(action: str) -> parsing.Parser:
    parser = parsing.Parser(f"judges {action}", f"{ACTIONS[action].capitalize()}.")
    parser.add_argument("roles", nargs="*", metavar="ROLE", help="only these judges, such as detector or vqa (default: all)")
    parser.add_argument("--benchmark", metavar="NAME", help="only the judges that a benchmark asks")
    parser.add_argument("--weights", metavar="DIR", help="another folder of weights (default: the cache, where judges look)")
    return parser


def _folder(args: argparse.Namespace) -> Path:
    from suder_bench.evaluators.judges import manifest

    return manifest.folder() if args.weights is None else Path(args.weights).expanduser()


def _weights(args: argparse.Namespace) -> list[Weight]:
    """The files of the roles named, of all for none; with `--benchmark` those that it asks. Raises `UserError` for roles that
    have none."""
    from suder_bench.evaluators.judges import manifest

    asked = args.roles or manifest.roles()
    if args.benchmark is not None:
        own = _asked_by(args.benchmark)
        asked = [role for role in asked if role in own]
        if not asked:
            raise UserError(f"{args.benchmark} asks no judge with weights to fetch; its judges: {', '.join(own) or 'none'}")
    for role in asked:
        manifest.of(role)
    return [weight for weight in manifest.official() if set(asked) & set(weight.roles.split())]


def _asked_by(benchmark: str) -> Sequence[str]:
    from suder_bench import registry

    known = registry.table("benchmarks")
    if benchmark not in known:
        raise unknown("benchmark", benchmark, known)
    roles: Sequence[str] = registry.load("benchmarks", benchmark).judge_roles
    return roles
