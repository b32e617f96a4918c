"""How many samples of each benchmark are asked at most, as the command line and run.json tell it."""

from __future__ import annotations

import argparse
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.cli.parsing import limits
from suder_bench.limits import Limits

NUMBERS = st.integers(1, 10**6)
NAMES = st.text("abcz-:_=/.", min_size=1).filter(lambda name: name.strip("="))
ANY = st.builds(Limits, st.none() | NUMBERS, st.dictionaries(NAMES, NUMBERS, max_size=4))


@given(ANY)
def test_what_is_told_is_read_again(asked: Limits) -> None:
    assert Limits.read(json.loads(json.dumps(asked.recorded()))) == asked
    if asked:
        assert limits(str(asked)) == asked


@pytest.mark.parametrize(
    ("text", "pope", "geneval"),
    [("300", 300, 300), ("pope=900", 900, None), ("300,pope=900", 900, 300), ("pope=900,geneval=5,300", 900, 5)],
)
def test_a_named_benchmark_has_its_own(text: str, pope: int | None, geneval: int | None) -> None:
    assert (limits(text).of("pope"), limits(text).of("geneval")) == (pope, geneval)


def test_those_of_benchmarks_that_are_not_asked_do_not_count() -> None:
    assert limits("pope=900,geneval=5").among(("geneval",)) == Limits(None, {"geneval": 5})
    assert not limits("pope=900").among(("geneval",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0", "'0' is not a positive whole number"),
        ("pope=", "'' is not a positive whole number"),
        ("pope", "'pope' is not a positive whole number"),
        ("300,400", "'300,400' gives each benchmark two numbers; leave one out"),
        ("pope=1,pope=2", "'pope=1,pope=2' gives pope two numbers; leave one out"),
        ("=5", "'=5' names no benchmark before '='"),
    ],
)
def test_what_is_no_limit_is_told(text: str, says: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as told:
        limits(text)
    assert str(told.value) == says
