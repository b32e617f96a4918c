"""Errors on their way from one process to another: what cannot be pickled, or be built again, still says what it was."""

from __future__ import annotations

import traceback

from suder_bench.errors import AbsentError, DiskError, JudgeError, PictureError, Unreachable, UserError
from suder_bench.runs.batches import out_of_memory

KINDS = (Unreachable, JudgeError, AbsentError, PictureError, DiskError, UserError)
"""Mistakes that are built again from their text, the special ones first."""


class ForeignError(Exception):
    """A bug in another process: shown as it was there, with its traceback."""

    def __init__(self, shown: str, trace: str) -> None:
        super().__init__(shown, trace)
        self.shown, self.trace = shown, trace

    def __repr__(self) -> str:
        return self.shown

    def __str__(self) -> str:
        return f"in another process\n{self.trace}"


class ForeignMemoryError(ForeignError, MemoryError):
    """The memory of another process, or of its device, is full."""


def carried(error: Exception) -> Exception:
    """The error as another process can have it: a mistake of the user's keeps its kind, where that needs its text alone."""
    if isinstance(error, UserError):
        kind = next(kind for kind in KINDS if isinstance(error, kind))
        made = kind(str(error))
        made.status = error.status
        return made
    if isinstance(error, ForeignError):
        return error
    trace = "".join(traceback.format_exception(error)).rstrip()
    return (ForeignMemoryError if out_of_memory(error) else ForeignError)(repr(error), trace)
