"""Append-only files: whatever a kill leaves at the end, whole lines survive and the torn one goes."""

from __future__ import annotations

import json
import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.runs.jsonl import Ledger, Row, document, plain, replace_file

values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
rows = st.lists(st.dictionaries(st.text(), values | st.lists(values), min_size=1), max_size=6)


@settings(max_examples=50, deadline=None)
@given(rows)
def test_rows_come_back(written: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        for row in written:
            ledger.append([row])
        assert ledger.rows() == written


@settings(max_examples=50, deadline=None)
@given(rows, st.data())
def test_a_torn_last_line_is_dropped_and_the_file_can_be_appended_to(written: list[Row], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        ledger.append(written)
        file = Path(folder) / "0.jsonl"
        content = file.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        file.write_bytes(content[:cut])
        # A line that lost its newline alone is whole.
        whole = content[:cut].count(b"\n") + (content[cut : cut + 1] == b"\n")
        assert ledger.rows() == written[:whole]
        assert ledger.repair(lambda row: True) == written[:whole]
        ledger.append([{"more": 1}])
        assert ledger.rows() == [*written[:whole], {"more": 1}]


@settings(max_examples=50, deadline=None)
@given(rows, st.binary(max_size=40))
def test_damage_inside_costs_the_damaged_lines_only(written: list[Row], damage: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        ledger.append(written)
        (Path(folder) / "1.jsonl").write_bytes(damage.replace(b"{", b"") + b'\n{"kept": true}\n')
        assert ledger.repair(lambda row: True) == [*written, {"kept": True}]
        assert (Path(folder) / "1.jsonl").read_bytes() == b'{"kept": true}\n'


def test_repair_drops_declined_rows_from_disk_and_leaves_a_good_file_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append([{"n": n} for n in range(4)])
    before = (tmp_path / "0.jsonl").stat().st_mtime_ns
    assert len(ledger.repair(lambda row: True)) == 4
    assert (tmp_path / "0.jsonl").stat().st_mtime_ns == before
    ledger.repair(lambda row: row["n"] % 2 == 0)
    assert ledger.rows() == [{"n": 0}, {"n": 2}]


def test_documents_hold_no_nan_and_no_numpy() -> None:
    value = {"a": math.nan, "b": np.float32(0.5), "c": np.arange(2), "d": (math.inf, Path("x")), 5: np.bool_(True)}
    assert json.loads(document(value)) == {"a": None, "b": 0.5, "c": [0, 1], "d": [None, "x"], "5": True}
    assert plain({"s": "text"}) == {"s": "text"}


def test_a_replaced_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    replace_file(tmp_path / "new" / "a.json", b"1")
    replace_file(tmp_path / "new" / "a.json", b"2")
    assert [(file.name, file.read_bytes()) for file in (tmp_path / "new").iterdir()] == [("a.json", b"2")]


def test_two_writers_of_a_document_leave_one_of_theirs(tmp_path: Path) -> None:
    file = tmp_path / "curves.csv"
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(replace_file, file, bytes([65 + i % 2]) * 1_000) for i in range(200)]:
            done.result()
    assert file.read_bytes() in (b"A" * 1_000, b"B" * 1_000)
    assert list(tmp_path.iterdir()) == [file]


def test_a_torn_line_takes_no_whole_one_along(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append([{"n": 1}, {"n": 2}])
    file = tmp_path / "0.jsonl"
    file.write_bytes(file.read_bytes()[:-3])
    ledger.append([{"n": 3}])  # by somebody who has not repaired it
    assert ledger.rows() == [{"n": 1}, {"n": 3}]
    file.write_bytes(file.read_bytes()[:-1])  # only the end of the line was lost
    ledger.append([{"n": 4}])
    assert ledger.rows() == [{"n": 1}, {"n": 3}, {"n": 4}]
