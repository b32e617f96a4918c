"""Mistakes that a person can fix, told in one line; everything else is a bug and shows its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The value, the choices, and the command that fixes it, on one line. The command line exits with `status`."""

    status = 2


class JudgeError(UserError):
    """A judge is missing or failed its known answers; responses are kept, so the run is a failure, not a mistake."""

    status = 1


class Unreachable(JudgeError):
    """A judge that cannot be asked. What does not need it can still be scored."""


class PictureError(UserError):
    """A picture that cannot be read. Whatever holds others goes on without it."""


def unknown(kind: str, value: str, choices: Iterable[str]) -> UserError:
    """'unknown model 'tiny-jnaus'; did you mean 'tiny-janus'? (choices: ...)'"""
    names = sorted(choices)
    close = difflib.get_close_matches(value, names, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return UserError(f"unknown {kind} '{value}'; {hint}(choices: {', '.join(names)})")
