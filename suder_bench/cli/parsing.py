"""The parser of the commands, and the forms of values that their options take."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from suder_bench.errors import UserError
from suder_bench.limits import Limits


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, and takes options by their whole names only."""

    def __init__(self, command: str, description: str, epilog: str | None = None) -> None:
        super().__init__(prog=f"suder-bench {command}", description=description, epilog=epilog, allow_abbrev=False)
        self._headings: dict[str, argparse._ArgumentGroup] = {}

    def under(self, heading: str) -> argparse._ArgumentGroup:
        """The options that --help shows under a heading, whoever adds them; headings stand in the order of their first use."""
        if heading not in self._headings:
            self._headings[heading] = self.add_argument_group(heading)
        return self._headings[heading]

    @property
    def flags(self) -> dict[str, argparse.Action]:
        """Every option by its whole name, "--out"."""
        return {flag: action for flag, action in self._option_string_actions.items() if flag.startswith("--")}

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


class Once(argparse.Action):
    """For an option of which a second one would silently take the place of the first."""

    def __call__(self, parser: argparse.ArgumentParser, found: argparse.Namespace, value: Any, option: str | None = None) -> None:
        before = getattr(found, self.dest)
        if before is not None:
            parser.error(f"{option} is given twice, as '{before}' and '{value}'; leave one out")
        setattr(found, self.dest, value)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive whole number")
    return int(text)


def limits(text: str) -> Limits:
    """'300' of each benchmark, 'geneval=300,pope=900' of those named, or '300,pope=900': of each, and of one another number."""
    each, named = None, dict[str, int]()
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        if equals and not name:
            raise argparse.ArgumentTypeError(f"'{part}' names no benchmark before '='")
        if (not equals and each is not None) or name in named:
            raise argparse.ArgumentTypeError(f"'{text}' gives {name or 'each benchmark'} two numbers; leave one out")
        if equals:
            named[name] = positive(number)
        else:
            each = positive(number)
    return Limits(each, named)


def whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 on")
    return int(text)


def port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port, 0 to 65535")
    return int(text)


def not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 on")
    return value


def more_than_nothing(text: str) -> float:
    value = not_negative(text)
    if not value:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return value


def batch_size(text: str) -> int | None:
    return None if text == "auto" else positive(text)
