"""`suder-bench data`: write benchmark files to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suder_bench.cli import options


def main(argv: Sequence[str]) -> int:
    parser = options.Parser("data", "Write the embedded world's files, laid out as the official ones, to a folder for --data.")
    parser.add_argument("source", choices=["world"], help="whose files")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--size", choices=["quick", "full"], default="quick", help="(default: quick)")
    args = parser.parse_args(argv)
    from suder_bench.data.source import write_world

    write_world(args.folder, size=args.size)
    print(f"the world's benchmark files ({args.size}) are in {args.folder}; use them with --data {args.folder}")
    return 0
