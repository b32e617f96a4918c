"""`suder-bench model-server`: a script's functions as a model behind an address, run by that model's own Python."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from suder_bench.cli import parsing
from suder_bench.errors import UserError

SERVER = "model_server.py"


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    if args.copy is not None:
        return _copy(args.copy)
    if args.script is None:
        raise UserError("no script to serve; give --script FILE.py (examples/servers/ has some), or --copy FILE")
    if not args.script.is_file():
        raise UserError(f"there is no script {args.script}")
    python = shutil.which(args.python) if args.python else sys.executable
    if python is None:
        raise UserError(f"--python {args.python} is no program; give the interpreter of the model's own environment")
    words = [
        "--script",
        str(args.script),
        "--host",
        args.host,
        "--port",
        str(args.port),
        *(["--name", args.name] if args.name else []),
    ]
    with as_file(files("suder_bench.standalone").joinpath(SERVER)) as server:
        sys.stdout.flush()
        os.execv(python, [python, str(server), *words])  # which signals then reach, whoever sends them


def _parser() -> parsing.Parser:
    parser = parsing.Parser(
        "model-server",
        "Serve the functions generate, answer and loglikelihood of a script as a model, for --model openai:NAME@URL.",
        "Only this machine can ask, unless --host says otherwise and MODEL_SERVER_TOKEN holds a token that callers must send.",
    )
    parser.add_argument("--script", type=Path, metavar="FILE.py", help="defines the functions and loads its model")
    parser.add_argument(
        "--python", help="the interpreter of the model's environment, from 3.8 on, with Pillow (default: this one)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="(default: 127.0.0.1)")
    parser.add_argument("--port", type=parsing.port, default=8000, metavar="N", help="0 takes a free one (default: 8000)")
    parser.add_argument("--name", help="the model's (default: the script's NAME, or its file's)")
    parser.add_argument(
        "--copy", type=Path, metavar="FILE", help="only write the server, which needs nothing but Pillow, to a file"
    )
    return parser


def _copy(place: Path) -> int:
    if place.exists():
        raise UserError(f"{place} is there already; give --copy another name")
    place.write_bytes(files("suder_bench.standalone").joinpath(SERVER).read_bytes())
    print(f"wrote {place}; run it with: python {place} --script FILE.py")
    return 0
