"""`suder-bench data`: write the world's benchmark files to a folder; fetch, check and list the official ones."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from suder_bench.cli import options, parsing
from suder_bench.errors import UserError, unknown

if TYPE_CHECKING:
    from suder_bench.data.catalogue import OfficialFile
    from suder_bench.data.owners import Material

ACTIONS = {
    "world": "write the embedded world's files, laid out as the official ones, to a folder for --data",
    "fetch": "bring the official files that are missing, checked by sha256, and with --pictures their owners' pictures",
    "verify": "check the official files at hand by sha256",
    "list": "list the official files, their size, licence and state, and where the pictures are to be had",
}


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser("data", "Benchmark files: " + "; ".join(f"{name}: {does}" for name, does in ACTIONS.items()) + ".")
    parser.add_argument("action", choices=ACTIONS, help="see suder-bench data ACTION --help")
    action = parser.parse_args(argv[:1]).action
    return {"world": _world, "fetch": _fetch, "verify": _verify, "list": _list}[action](argv[1:])


def _world(argv: Sequence[str]) -> int:
    parser = parsing.Parser("data world", f"{ACTIONS['world'].capitalize()}.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--size", choices=["quick", "full"], default="quick", help="(default: quick)")
    args = parser.parse_args(argv)
    from suder_bench.data.source import write_world

    write_world(args.folder, size=args.size)
    print(f"the world's benchmark files ({args.size}) are in {args.folder}; use them with --data {args.folder}")
    return 0


def _fetch(argv: Sequence[str]) -> int:
    parser = _parser("fetch")
    parser.add_argument("--replace", action="store_true", help="also fetch again what is there but not the official file")
    parser.add_argument("--offline", action="store_true", help="never use the network: only say what is missing")
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="also pictures, and tables that hold them, from their owners; of a benchmark that is named, from the hub where its"
        " owner has an archive",
    )
    parser.add_argument(
        "--hub", action="store_true", help="with --pictures: from the hub in place of the owners, questions and pictures in one"
    )
    parser.add_argument("--protocol", default="official", help="whose tables and pictures (default: official)")
    args = parser.parse_args(argv)
    from suder_bench.data import hub
    from suder_bench.data.fetch import ensure
    from suder_bench.data.owners import owners_files
    from suder_bench.runs.screen import Screen

    data, screen = _folder(args), Screen()
    listed, fetched = _files(args), 0
    files = [file for file in listed if file.free or args.benchmarks]
    _refuse_world(data)
    _check_protocol(args)
    if args.hub and not args.pictures:
        raise UserError("--hub says where pictures come from; add --pictures")
    if not files and not args.pictures:
        raise UserError(f"all there is of {' and '.join(args.benchmarks)} holds pictures; add --pictures to fetch what can be")
    for _, group in groupby(files, key=lambda file: file.folder):
        fetched += ensure(list(group), data, screen.say, offline=args.offline, replace=args.replace)
    use = "official" if args.data is None else args.data
    if files:
        print(f"{len(files)} official files are in {data}, {fetched} of them new; use them with --data {use}")
    sets = hub.hub_sets(args.benchmarks, args.protocol) if args.pictures else []
    sets = [one for one in sets if args.hub or (args.benchmarks and one.alone)]
    if args.pictures and not args.hub:
        theirs, fetched = owners_files(args.benchmarks, data, args.protocol), 0
        for _, owned in groupby(theirs, key=lambda file: file.folder):
            fetched += ensure(list(owned), data, screen.say, offline=args.offline, replace=args.replace)
        if theirs or not sets:
            print(f"{len(theirs)} files from their owners are in {data}, {fetched} of them new; use them with --data {use}")
    for one in sets:
        fetched = hub.ensure(one, data, screen.say, offline=args.offline, replace=args.replace)
        print(f"{one.repository} ({one.name}) is in {one.folder(data)}, {fetched} files of it new; use it with --data {use}")
    _tell_lacking(args.benchmarks, data, pictures=args.pictures, brought={one.benchmark for one in sets})
    unfree = {file.benchmark: file.terms for file in listed if file not in files}
    for terms in dict.fromkeys(unfree.values()):
        names = " ".join(name for name, own in unfree.items() if own == terms)
        print(f"not fetched: {names} (licence: {terms}); suder-bench data fetch {names}")
    return 0


def _check_protocol(args: argparse.Namespace) -> None:
    """Take the protocol by its own name. Raises `UserError` for one that none of the benchmarks has."""
    from suder_bench import registry
    from suder_bench.data.owners import materials
    from suder_bench.runs.plan import protocol_named

    names = args.benchmarks or list(dict.fromkeys(one.benchmark for one in materials()))
    args.protocol = protocol_named(args.protocol, names)
    known = {protocol for name in names for protocol in registry.load("benchmarks", name).protocols}
    if args.protocol != "official" and args.protocol not in known:
        raise unknown("protocol", args.protocol, known)


def _tell_lacking(benchmarks: Sequence[str], data: Path, *, pictures: bool, brought: Collection[str] = ()) -> None:
    """What was not fetched though questions are about it, and where it is to be had; not of the benchmarks whose pictures were
    `brought` from the hub."""
    from suder_bench.data.owners import command, materials

    left = [one for one in materials(benchmarks) if one.way == "hand" or not pictures]
    left = [one for one in left if one.benchmark not in brought]
    if left and not benchmarks:
        names = ", ".join(dict.fromkeys(one.benchmark for one in left))
        print(f"not fetched: pictures of {names}; where they are to be had says suder-bench data list")
    for one in left if benchmarks else ():
        print(f"not fetched: {one.told}; {f'put it into {one.place(data)}' if one.way == 'hand' else command(one)}")


def _verify(argv: Sequence[str]) -> int:
    parser = _parser("verify")
    options.add_json(parser)
    args = parser.parse_args(argv)
    data, files = _folder(args), _files(args)
    if not args.benchmarks:  # of each benchmark that is there at all
        there = {file.folder for file in files if file.state(data) != "missing"}
        files = [file for file in files if file.folder in there]
    if not files:
        raise UserError(f"no official files in {data}; get them with suder-bench data fetch")
    from suder_bench.data.catalogue import expected

    files = expected(files, data)
    bad = [file for file in files if file.state(data) != "present"]
    if args.json:
        _print_json(files, data)
    else:
        for file in bad:
            place = file.place(data)
            print(f"{place}: {file.fault(place) if place.is_file() else 'missing'}")
        print(f"{len(files) - len(bad)} of {len(files)} files in {data} are the official ones")
    if bad:
        names = " ".join(dict.fromkeys(file.benchmark for file in bad))
        print(f"suder-bench: get them again with suder-bench data fetch {names} --replace", file=sys.stderr)
    return 1 if bad else 0


def _list(argv: Sequence[str]) -> int:
    parser = _parser("list")
    options.add_json(parser)
    args = parser.parse_args(argv)
    from suder_bench.data.owners import materials

    data, files = _folder(args), _files(args)
    theirs = materials(args.benchmarks)
    if args.json:
        _print_json(files, data, theirs)
        return 0
    states = {file: file.state(data) for file in files}
    for benchmark in dict.fromkeys([*(file.benchmark for file in files), *(one.benchmark for one in theirs)]):
        print(benchmark)
        for file in (file for file in files if file.benchmark == benchmark):
            print(f"  {states[file]:<8} {file.name:<32} {file.bytes:>10,}  {file.licence:<13} {file.repository}")
        for one in (one for one in theirs if one.benchmark == benchmark):
            way = {"fetch": "comes with data fetch --pictures", "hub": "comes with data fetch --pictures --hub"}.get(one.way)
            way = way or "to be put there by hand"
            print(f"  {one.place(data)}: {one.told}; {way}")
    counts = Counter(states.values())
    print(f"{data}: " + ", ".join(f"{counts[state]} {state}" for state in ("present", "missing", "damaged")))
    return 0


def _parser(action: str) -> parsing.Parser:
    parser = parsing.Parser(f"data {action}", f"{ACTIONS[action].capitalize()}.")
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help="only these benchmarks' files (default: all)")
    parser.add_argument("--data", metavar="official|DIR", help="the cache, or a data folder of your own (default: the cache)")
    return parser


def _folder(args: argparse.Namespace) -> Path:
    from suder_bench.data.source import official

    if args.data == "world":
        raise UserError("--data world: the world's files are written, not fetched; use suder-bench data world DIR")
    return official() if args.data in (None, "official") else Path(args.data).expanduser()


def _files(args: argparse.Namespace) -> list[OfficialFile]:
    from suder_bench.data.catalogue import official_files
    from suder_bench.data.owners import materials

    return official_files(args.benchmarks, {one.benchmark for one in materials()})


def _refuse_world(data: Path) -> None:
    from suder_bench.data.folder import WORLD_FILE

    if (data / WORLD_FILE).is_file():
        raise UserError(f"{data} holds the world's files; choose another folder for the official ones")


def _print_json(files: Sequence[OfficialFile], data: Path, theirs: Sequence[Material] = ()) -> None:
    from suder_bench.runs.jsonl import document

    listed = [{**asdict(file), "address": file.address, "place": file.place(data), "state": file.state(data)} for file in files]
    pictures = {"pictures": [{**asdict(one), "place": one.place(data)} for one in theirs]} if theirs else {}
    sys.stdout.write(document({"schema": 1, "data": data, "files": listed, **pictures}))
