"""What is confirmed at a glance is what the slow way confirms: lines by their bytes, rows by tests made once."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.records import Verdict
from suder_bench.runs import scanned, shapes, signed
from suder_bench.runs.compact import Compact
from suder_bench.runs.store import read_verdict

texts = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
trees = st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8)
tricky = st.sampled_from(['", "digest": "', '"details": {', '}, "digest": "x', '\\", "details": '])
details = st.dictionaries(texts | tricky | st.just("digest") | st.just("details"), trees | tricky, max_size=4)
verdicts = st.fixed_dictionaries(
    {
        "judges": texts,
        "sample": texts | tricky,
        "repeat": st.integers(0, 9),
        "digest": texts | tricky,
        "scores": st.dictionaries(texts, st.none() | st.floats(-9, 9), max_size=2),
        "correct": st.none() | st.booleans(),
        "reason": texts | tricky,
        "details": details,
    }
)


@settings(max_examples=200, deadline=None)
@given(verdicts)
def test_a_line_comes_back_with_its_details_whatever_they_hold(row: dict[str, Any]) -> None:
    line = signed.line(row).encode("ascii")
    read = json.loads(line)
    assert signed.stands(line)
    assert read.pop("checksum") == signed.checksum(row) == signed.checksum(read)
    found = Compact().verdict("a", json.loads(line), line)
    assert isinstance(found, Verdict)
    scan = scanned.verdict(line)
    if row["sample"].isascii() and row["sample"].isalnum() and row["digest"] == row["judges"] == "":
        assert scan is not None
    if scan is not None:
        assert Compact().scanned("a", scan) in (None, found)  # None where a score's name cannot be printed
        assert scan[scanned.JUDGES].decode() == row["judges"]
    expected = read_verdict("a", row)
    assert (found.details, found.reason, found.sample, found.digest) == (
        row["details"],
        row["reason"],
        row["sample"],
        row["digest"],
    )
    assert found.scores.keys() == expected.scores.keys()
    assert (found.repeat, found.correct) == (expected.repeat, expected.correct)


@settings(max_examples=100, deadline=None)
@given(verdicts, st.data())
def test_a_byte_that_changed_is_seen(row: dict[str, Any], data: st.DataObject) -> None:
    line = bytearray(signed.line(row).encode("ascii"))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 127))
    assert not signed.stands(bytes(line))


def test_a_line_of_another_order_has_its_checksum_all_the_same() -> None:
    row = {"b": 1, "a": [2, None], "c": "ü"}
    kept = json.loads(signed.line(row))
    other = json.dumps({"checksum": kept["checksum"], **row}).encode()
    assert not signed.stands(other)
    assert signed.checksum(json.loads(other)) == kept["checksum"]


RESPONSE = {"benchmark": "b", "sample": "s", "repeat": 0, "seed": 1, "digest": "d", "text": "t", "image": None, "seconds": 0.5}
KEYS = [*RESPONSE, "judges", "scores", "correct", "reason", "details"]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(KEYS),
    trees | st.floats(),
    verdicts,
    st.booleans(),
)
def test_rows_fit_where_the_check_lets_them_pass(key: str, value: Any, verdict: dict[str, Any], gone: bool) -> None:
    for whole, shape in ((RESPONSE, shapes.RESPONSE), (verdict, shapes.VERDICT)):
        row: dict[str, Any] = {name: one for name, one in whole.items() if not (gone and name == key)}
        row |= {} if gone or key not in whole else {key: value}
        try:
            shapes.check(row, shape)
        except shapes.ShapeError:
            assert not shapes.fits(shape)(row)
        else:
            assert shapes.fits(shape)(row)
