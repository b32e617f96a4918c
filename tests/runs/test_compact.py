"""Columns of verdicts give back the verdicts that were put into them, and take no room for their details."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from fakes import REFERENCE, FakeModel, settings
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.records import Sample, Verdict
from suder_bench.runs import compact
from suder_bench.runs.compact import Details, Filed, Rows
from suder_bench.runs.execute import Run
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

texts = st.text(st.characters(codec="utf-8"), max_size=6)
details = st.dictionaries(texts, st.none() | st.integers() | texts | st.lists(texts, max_size=2), max_size=3)
verdicts = st.builds(
    lambda number, scores, correct, reason, told, lazy: (
        number,
        Verdict("b", f"s{number // 2}", number % 2, f"{number:02}", scores, correct, reason, lazy(told)),
    ),
    st.integers(0, 19),
    st.dictionaries(texts, st.floats(-9, 9), max_size=2),
    st.sampled_from([None, False, True]),
    texts,
    details,
    st.sampled_from([dict, lambda told: Details(json.dumps(told).encode())]),
)


@given(st.lists(verdicts, max_size=30), st.sampled_from([0, 8, 1 << 20]))
def test_verdicts_come_back_from_columns(put: list[tuple[int, Verdict]], spooled: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compact, "SPOOLED", spooled)
        filed, expected = Filed("b", 20), dict[int, Verdict]()
        for number, verdict in put:
            filed.put(number, verdict)
            expected[number] = verdict
        assert [number in filed for number in range(20)] == [number in expected for number in range(20)]
        places = sorted(expected)
        samples = [Sample(f"s{number // 2}", "", "") for number in places]
        rows = Rows(filed, places, samples, [number % 2 for number in places], lambda key: f"{2 * int(key[0][1:]) + key[1]:02}")
        wanted = [(sample, expected[number]) for sample, number in zip(samples, places, strict=True)]
        assert list(rows) == wanted == [rows[number] for number in range(len(rows))]
        assert list(rows[1::2]) == wanted[1::2]


def test_what_is_no_number_stays_none(tmp_path: Path) -> None:
    filed = Filed("b", 1)
    filed.put(0, Verdict("b", "s", 0, "d", {"p": math.nan}, None, "", {"seen": (1, 2)}))
    [(_, found)] = Rows(filed, [0], [Sample("s", "", "")], [0], lambda key: "d")
    assert math.isnan(found.scores["p"])
    assert dict(found.details) == {"seen": [1, 2]}


@pytest.mark.usefixtures("fakes")
def test_scoring_again_reads_verdicts_once_and_a_damaged_folder_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> Any:
        return Run(tmp_path / "r", REFERENCE, settings("drawing")).execute(Screen(), FakeModel).summary["benchmarks"]

    first, reads = run(), list[bool]()
    read = RunFolder.each_verdict

    def counted(self: RunFolder, *given: Any, repair: bool = False, **more: Any) -> bool:
        reads.append(repair)
        return read(self, *given, repair=repair, **more)

    monkeypatch.setattr(RunFolder, "each_verdict", counted)
    assert run() == first
    assert len(reads) == 1
    file = tmp_path / "r/verdicts/drawing/0.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"torn')
    assert run() == first
    assert reads == [False, False, True]
    assert file.read_bytes() == whole
