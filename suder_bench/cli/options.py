"""The parser and the options that several commands share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from suder_bench.errors import UserError
from suder_bench.machine import DTYPES, JUDGE_DTYPES, choose_device, choose_dtype


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, and takes options by their whole names only."""

    def __init__(self, command: str, description: str, epilog: str | None = None) -> None:
        super().__init__(prog=f"suder-bench {command}", description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive whole number")
    return int(text)


def whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 on")
    return int(text)


def not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 on")
    return value


def batch_size(text: str) -> int | None:
    return None if text == "auto" else positive(text)


def add_data(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--data", metavar="world|official|DIR", help=f"where the benchmark files come from (default: {default})")
    parser.add_argument("--size", choices=["quick", "full"], help="how much of the world's data (default: quick)")


def add_judges(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--judge",
        action="append",
        default=[],
        metavar="ROLE=BACKEND",
        help="judge with another back-end (see suder-bench list judges); may be repeated",
    )
    parser.add_argument("--judge-device", metavar="DEVICE", help="where the judges compute (default: as --device)")
    parser.add_argument(
        "--judge-dtype",
        choices=["auto", *JUDGE_DTYPES],
        help="what the judges compute in (default: auto, each benchmark's own choice)",
    )
    parser.add_argument(
        "--no-known-answers",
        dest="known_answers",
        action="store_false",
        help="do not ask the judges known answers before they score; every number is then marked as unchecked",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--offline", action="store_true", help="never use the network")


def add_machine(parser: argparse.ArgumentParser) -> None:
    add_device(parser)
    parser.add_argument("--dtype", default="auto", choices=["auto", *DTYPES], help="of the model's weights")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout instead of the table")


def add_verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--verbose", action="store_true", help="every metric, not only those of the paper's tables")


def judges(pairs: Sequence[str]) -> dict[str, str]:
    """{role: backend} of the values of `--judge`."""
    chosen: dict[str, str] = {}
    for pair in pairs:
        role, equals, backend = pair.partition("=")
        if not (role and equals and backend):
            raise UserError(f"--judge '{pair}' is not ROLE=BACKEND; for example --judge detector=world")
        chosen[role] = backend
    return chosen


def prepare(*, offline: bool) -> None:
    """Keep other packages' bars off files and pipes, and with `offline` their hands off the network.

    Must run before anything imports the hub's client, which reads these once.
    """
    if not sys.stderr.isatty():
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TRANSFORMERS_OFFLINE"] = "1"


def machine(device: str, dtype: str) -> tuple[str, str]:
    """The device and dtype to use, with what 'auto' stands for here. Raises `UserError` for what is unknown or not here."""
    chosen = choose_device(device)
    return chosen, choose_dtype(dtype, chosen)
