"""What a pattern reads of a line is what JSON and the shapes read of it, and what it cannot read is left to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.records import Response
from suder_bench.runs import scanned, signed
from suder_bench.runs.compact import Compact
from suder_bench.runs.encoding import text_digest
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.store import RunFolder

ROW = {"benchmark": "b", "sample": "s 1", "repeat": 3, "seed": -7, "digest": "0f", "image": "images/b/0.png", "seconds": 0.25}
JUDGED = {
    "judges": "k",
    "sample": "s 1",
    "repeat": 0,
    "digest": "0f",
    "scores": {"correct": 1.0, "p": None},
    "correct": True,
    "reason": 'it says "A"\n',
    "details": {"said": "a}, "},
}


def line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode()


def test_lines_as_runs_write_them_are_read_at_a_glance() -> None:
    assert scanned.response("b", line(ROW)) == Response(**ROW)
    told = {**ROW, "text": 'a "b"\n\\ é \U0001f600'}
    del told["image"]
    told = {name: told[name] for name in ("benchmark", "sample", "repeat", "seed", "digest", "text", "seconds")}
    assert scanned.response("b", line(told)) == Response(**told)
    content = signed.line(JUDGED).encode()
    found = scanned.verdict(content)
    assert found is not None
    assert Compact().scanned("b", found) == Compact().verdict("b", json.loads(content), content)


@pytest.mark.parametrize(
    "change",
    [
        {"benchmark": "c"},
        {"sample": "s\\u00e9"},
        {"repeat": -1},
        {"repeat": True},
        {"seed": 1.0},
        {"seconds": "1"},
        {"seconds": float("nan")},
        {"image": "/etc/hostname"},
        {"image": "images/../../x"},
        {"image": None},
        {"text": "both"},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_such_response_is_left_to_json(change: dict[str, Any]) -> None:
    assert scanned.response("b", line({**ROW, **change})) is None


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(line(ROW)) - 1), st.integers(0, 255), st.booleans())
def test_a_response_that_is_read_at_a_glance_is_what_json_reads(place: int, byte: int, inserted: bool) -> None:
    content = bytearray(line(ROW))
    content[place : place + (not inserted)] = bytes([byte])
    found = scanned.response("b", bytes(content))
    if found is not None:
        assert found == Response(**json.loads(bytes(content)))


@pytest.mark.parametrize("scores", [{"p": True}, {"p": "1"}, {"p": [1]}, {"p": {}}, {"p": 10**400}], ids=str)
def test_scores_that_are_no_numbers_count_for_nothing_though_the_checksum_is_right(tmp_path: Path, scores: Any) -> None:
    rows = [{**JUDGED, "repeat": 1}, {**JUDGED, "scores": scores}]
    Ledger(tmp_path / "verdicts/b").append_lines(map(signed.line, rows))
    lost: list[str] = []
    assert [key[1] for key in RunFolder(tmp_path).verdicts("b", {"k"}, repair=False, lost=lost.append)] == [1]
    assert len(lost) == 1
    assert "line 2: no verdict (scores.p is " in lost[0]


def test_a_line_of_thousands_of_bytes_that_does_not_match_is_told_soon(tmp_path: Path) -> None:
    told = {**ROW, "text": "a" * 200_000 + "\x7f"}
    told["digest"] = text_digest(str(told["text"]))
    del told["image"]
    Ledger(tmp_path / "responses/b").append([told])
    assert len(RunFolder(tmp_path).responses("b", repair=False)) == 1
