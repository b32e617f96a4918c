"""Keyword options as the words of a command line, so that a call means what the command means."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from typing import Any

from suder_bench.cli.parsing import Parser
from suder_bench.errors import UserError, unknown


def words(parser: Parser, given: Mapping[str, Any], *, leave_out: Collection[str] = ()) -> list[str]:
    """The words that give `parser` these options; None stands for an option that is not given.

    Raises `UserError` for an option that the command has not or that is among `leave_out`, and for a value that no word can be.
    """
    flags = parser.flags
    known = {_name(flag): flag for flag in flags}
    found: list[str] = []
    for name, value in given.items():
        if name not in known or name in leave_out:
            raise unknown("option", name, known.keys() - set(leave_out))
        if value is not None:
            found += _words(known[name], flags[known[name]], value)
    return found


def _words(flag: str, action: argparse.Action, value: Any) -> list[str]:
    if action.nargs == 0 or isinstance(value, bool):
        if action.nargs != 0 or not isinstance(value, bool):
            wants = "True or False" if action.nargs == 0 else "a value"
            raise UserError(f"{_name(flag)}={value!r}: give {wants}")
        return [flag] if value else []
    repeated = isinstance(action, argparse._AppendAction)
    if isinstance(value, Mapping):
        value = [f"{key}={one}" for key, one in value.items()]
        value = value if repeated else ",".join(value)
    if isinstance(value, list | tuple) and not repeated:
        raise UserError(f"{_name(flag)}={value!r}: it is given once; give one value")
    return [f"{flag}={one}" for one in (value if isinstance(value, list | tuple) else [value])]


def _name(flag: str) -> str:
    return flag[2:].replace("-", "_")
