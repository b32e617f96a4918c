"""Mistakes that a person can fix, told in one line; everything else is a bug and shows its traceback."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class UserError(Exception):
    """The value, the choices, and the command that fixes it, on one line. The command line exits with `status`.

    What a file made of the value may hold line ends and commands to a terminal: these are shown as Python writes them.
    """

    status = 2

    def __str__(self) -> str:
        return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], super().__str__())


class JudgeError(UserError):
    """A judge is missing or failed its known answers; responses are kept, so the run is a failure, not a mistake."""

    status = 1


class Unreachable(JudgeError):
    """A judge that cannot be asked. What does not need it can still be scored."""


class AbsentError(UserError):
    """What a setting names and this machine does not have; another machine may."""


class PictureError(UserError):
    """A picture that cannot be read. Whatever holds others goes on without it."""


class DiskError(UserError):
    """What the disk refuses: it is full, read-only or somebody else's. What was written whole before is still there."""

    status = 1


def install(*extras: str) -> str:
    """The command that brings extras, as the README gives it: the package is on no index, so that its name installs nothing."""
    pins = "constraints-lmms.txt" if "lmms" in extras else "constraints.txt"  # lmms-eval needs other versions of some
    return f'pip install -c {pins} ".[{",".join(extras)}]"'


REFUSALS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG}
)
"""Of `OSError`s those that are the disk's, and no bug's."""

IN_THE_WAY = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP})
"""A file where a folder should be, or the other way round."""


def refused(error: OSError, path: Path | str | None = None) -> DiskError:
    """'runs/a/summary.json cannot be written (No space left on device); ...'"""
    place = path or error.filename2 or error.filename or "the output"
    return DiskError(
        f"{place} cannot be used ({error.strerror or error}); make room, give the rights or take away what is in its place,"
        " and repeat the command: what was done is kept"
    )


class MissingAnswers(UserError):
    """A file of answers lacks `missing` of them; `found` are the (sample, answer) pairs that it holds, in the samples' order."""

    def __init__(self, message: str, found: Sequence[Any], missing: int) -> None:
        super().__init__(message)
        self.found, self.missing = found, missing


class MissingPictures(UserError):
    """Of `samples`, all of a benchmark, those with the ids `lost` lack their picture."""

    def __init__(self, message: str, samples: Sequence[Any], lost: Collection[str]) -> None:
        super().__init__(message)
        self.samples, self.lost = samples, lost


def unknown(kind: str, value: str, choices: Iterable[str]) -> UserError:
    """'unknown model 'tiny-jnaus'; did you mean 'tiny-janus'? (choices: ...)'"""
    names = sorted(choices)
    close = difflib.get_close_matches(value, names, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return UserError(f"unknown {kind} '{value}'; {hint}(choices: {', '.join(names)})")
