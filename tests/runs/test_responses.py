"""Columns of responses are the dictionary that they stand for."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.records import Response
from suder_bench.runs.encoding import text_digest
from suder_bench.runs.responses import Columns, Key

keys = st.tuples(st.sampled_from(["", "a", "b", "é"]), st.integers(0, 3) | st.just(10**9))
contents = st.text(max_size=8) | st.just("\ud800 half a pair")
responses = st.builds(
    lambda key, seed, digest, content, drawn, seconds, benchmark: Response(
        benchmark, *key, seed, digest, None if drawn else content, content if drawn else None, seconds
    ),
    keys,
    st.integers(-(2**63), 2**63 - 1) | st.integers(),
    contents.map(text_digest) | st.sampled_from(["", "no digest", "F" * 64, " " * 64, "é" * 64]),
    contents,
    st.booleans(),
    st.floats(0, 1e9),
    st.sampled_from(["x", "x", "another"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(responses | keys, max_size=24))
def test_columns_hold_what_a_dictionary_holds(steps: list[Response | Key]) -> None:
    found, expected = Columns("x"), dict[Key, Response]()
    for step in steps:
        if isinstance(step, Response):
            found[step.sample, step.repeat] = expected[step.sample, step.repeat] = step
        elif step in expected:
            del found[step], expected[step]
        else:
            with pytest.raises(KeyError):
                del found[step]
            with pytest.raises(KeyError):
                found[step]
    assert found == expected
    assert len(found) == len(expected) == len(list(found))
    for key in [*expected, ("c", 0), ("a", -1)]:
        assert (key in found) == (key in expected)
        assert found.get(key) == expected.get(key)


def test_a_response_takes_less_than_two_hundred_bytes() -> None:
    count, repeats = 20_000, 4
    samples = [f"{number:05d}" for number in range(count // repeats)]
    first = Response("b", "", 0, 2**62, text_digest("0"), None, "images/geneval/00000/samples/00000.png", 0.1234)
    tracemalloc.start()
    try:
        found = Columns("b")
        for sample in samples:
            for repeat in range(repeats):
                found[sample, repeat] = replace(first, sample=sample, repeat=repeat)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 200 * count
