"""What the fields of questions and answers may hold: texts, ids and choices; anything else is refused with its place."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from suder_bench.errors import UserError

Row = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """`words` is what a message says was expected; `holds` tells whether a value is of the kind."""

    words: str
    holds: Callable[[object], bool]


def _text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can spell and no file can hold
        return False
    return True


def _id(value: object) -> bool:
    return _text(value) or (isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1)


TEXT = Kind("a text", _text)
FILLED = Kind("a text that is not empty", lambda value: _text(value) and bool(str(value).strip()))
ID = Kind("a text or a whole number", _id)
BIT = Kind('"0" or "1"', lambda value: not isinstance(value, bool) and value in ("0", "1", 0, 1))
WORDS = Kind("a text or a number", lambda value: _id(value) or (isinstance(value, float) and math.isfinite(value)))
TEXTS = Kind("a text or a list of texts", lambda value: all(map(_text, value)) if isinstance(value, list) else _text(value))
ANY = Kind("something", lambda value: True)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
LIST = Kind("a list", lambda value: isinstance(value, list))
WHOLE = Kind("a whole number", lambda value: type(value) is int)

Fields = Mapping[str, Kind]
QUOTED = 60
"""Characters of a text that a message shows."""


def one_of(*values: str) -> Kind:
    """One of these texts, in any case."""
    return Kind(" or ".join(values), lambda value: isinstance(value, str) and value.lower() in values)


def with_fields(row: object, place: str, fields: Fields) -> Row:
    """`row`, if it is an object whose `fields` are there and of their kinds; else a `UserError` that starts with `place`."""
    if not isinstance(row, dict):
        raise UserError(f"{place}: expected an object, found {quoted(shown(row))}")
    missing = [name for name in fields if row.get(name) is None]
    if missing and all(name in row for name in missing):
        raise UserError(f"{place}: {', '.join(map(repr, missing))} is null; expected {fields[missing[0]].words}")
    if missing:
        raise UserError(f"{place}: no {', '.join(map(repr, missing))}; found {', '.join(map(repr, row))}")
    for name, kind in fields.items():
        if not kind.holds(row[name]):
            raise UserError(f"{place}: {name!r} is {shown(row[name])}; expected {kind.words}")
    return row


def id_text(value: object) -> str:
    """An id as a string, so that 12, 12.0 and "12" are the same question."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def shown(value: object) -> str:
    """A value that is not what it should be, as a message shows it: texts in quotes, and nothing at length."""
    if isinstance(value, str):
        return quoted(value)
    try:
        return textwrap.shorten(repr(value), 60, placeholder=" ...")
    except RecursionError:
        return f"a {type(value).__name__} too deep to show"


def quoted(text: str) -> str:
    """A text in quotes, shortened, for reasons and messages."""
    words = [word[: 3 * QUOTED] for word in text.split(None, QUOTED)]  # no more is ever shown, of 10,000 words either
    return repr(textwrap.shorten(" ".join(words), QUOTED, placeholder=" ...")) if words else repr(text)
