"""Scoring pictures and answers made elsewhere."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from fakes import REFERENCE, FakeModel, flat, settings

from suder_bench.data.source import Source
from suder_bench.errors import JudgeError, UserError
from suder_bench.runs.elsewhere import Elsewhere
from suder_bench.runs.execute import Outcome, Run
from suder_bench.runs.screen import Screen

pytestmark = pytest.mark.usefixtures("fakes")


def score(benchmark: str, responses: Path, screen: Screen | None = None, **changes: Any) -> Outcome:
    source = Source("folder", path=Path(__file__).parent)
    return Elsewhere(benchmark, responses, source, **changes).score(screen or Screen(io.StringIO()))


def test_a_runs_own_pictures_get_its_own_score(tmp_path: Path) -> None:
    whole = Run(tmp_path / "r", REFERENCE, settings("drawing")).execute(Screen(io.StringIO()), FakeModel).summary
    outcome = score("drawing", tmp_path / "r/images/drawing")
    assert outcome.complete
    assert outcome.summary["benchmarks"] == whole["benchmarks"]


def test_answers_are_scored_and_only_those_given(tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("q0 0\nq1 wrong\n")
    entry = score("reading", tmp_path / "answers").summary["benchmarks"]["reading"]
    assert (entry["metrics"]["accuracy"]["value"], entry["n_responses"], entry["n_samples"], entry["skipped"]) == (0.5, 2, 8, 6)


def test_prompts_without_a_picture_are_told_and_counted(tmp_path: Path) -> None:
    Run(tmp_path / "r", REFERENCE, settings("drawing")).execute(Screen(io.StringIO()), FakeModel)
    shutil.rmtree(tmp_path / "r/images/drawing/003")
    stderr = io.StringIO()
    outcome = score("drawing", tmp_path / "r/images/drawing", Screen(stderr))
    entry = outcome.summary["benchmarks"]["drawing"]
    assert (entry["n_samples"], entry["n_responses"], entry["skipped"], outcome.complete) == (12, 22, 1, True)
    assert "drawing: 1 of 12 samples have no response, first 003" in stderr.getvalue()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds nothing in the layout of drawing"):
        score("drawing", tmp_path / "empty")


def test_two_pictures_for_one_response_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "001/samples").mkdir(parents=True)
    for name in ("0.png", "00.png"):
        flat(20).save(tmp_path / "001/samples" / name)
    with pytest.raises(UserError, match=r"0\.png and .*00\.png are both picture 0 of sample 001"):
        score("drawing", tmp_path)


def test_what_is_not_there_or_not_a_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no answers at"):
        score("reading", tmp_path / "nothing")
    with pytest.raises(UserError, match="is not a folder of pictures"):
        score("drawing", tmp_path / "nothing")
    (tmp_path / "000/samples").mkdir(parents=True)
    (tmp_path / "000/samples/0.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"0\.png is not a readable picture"):
        score("drawing", tmp_path)


def test_judges_are_chosen_checked_and_missed_as_in_a_run(tmp_path: Path) -> None:
    (tmp_path / "001/samples").mkdir(parents=True)
    flat(20).save(tmp_path / "001/samples/0.png")
    assert score("drawing", tmp_path).summary["benchmarks"]["drawing"]["metrics"]["overall"]["value"] == 1.0
    black = score("drawing", tmp_path, judges={"shade": "black"}).summary["benchmarks"]["drawing"]
    assert (black["metrics"]["overall"]["value"], black["judges"]["shade"]["exact"]) == (0.0, False)
    with pytest.raises(JudgeError, match="nothing was scored"):
        score("drawing", tmp_path, judges={"shade": "wrong"})
    missing = score("drawing", tmp_path, judges={"shade": "missing"})
    assert not missing.complete
    assert missing.summary["benchmarks"]["drawing"]["failed"] == 1
