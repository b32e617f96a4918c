"""What an error of a worker is to its driver: a mistake keeps its kind, a bug its traceback, and a full memory is one."""

from __future__ import annotations

import pickle

import pytest

from suder_bench.errors import JudgeError, MissingAnswers, PictureError, Unreachable, UserError
from suder_bench.models.sampling import NoNumbersError
from suder_bench.runs.batches import out_of_memory
from suder_bench.runs.workers.foreign import ForeignError, carried


class Unpicklable(Exception):
    def __init__(self, one: int, *, two: object) -> None:
        super().__init__(f"{one} and {two}")
        self.two = lambda: two


def sent(error: Exception) -> Exception:
    found: Exception = pickle.loads(pickle.dumps(carried(error)))
    return found


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UserError("no such\nthing"), UserError),
        (JudgeError("wrong weights"), JudgeError),
        (Unreachable("no reply"), Unreachable),
        (PictureError("torn"), PictureError),
        (NoNumbersError("NaN"), UserError),
        (MissingAnswers("two are missing", [], 2), UserError),
    ],
)
def test_a_mistake_keeps_its_kind_and_its_words(error: Exception, kind: type) -> None:
    found = sent(error)
    assert isinstance(found, UserError)
    assert (type(found), str(found), found.status) == (kind, str(error), error.status)  # type: ignore[attr-defined]


def test_a_bug_is_shown_as_it_was_with_its_traceback() -> None:
    try:
        raise Unpicklable(1, two=2)
    except Unpicklable as error:
        found = sent(error)
    assert isinstance(found, ForeignError)
    assert repr(found) == "Unpicklable('1 and 2')"
    assert "raise Unpicklable(1, two=2)" in str(found)
    assert not out_of_memory(found)


def test_a_full_memory_is_one_to_the_driver() -> None:
    assert out_of_memory(sent(MemoryError("full")))
    assert out_of_memory(sent(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")))
