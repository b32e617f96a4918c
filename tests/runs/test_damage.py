"""Pictures that a run drew, and that were damaged afterwards."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from damaged import DAMAGES, truncated
from fakes import REFERENCE, FakeModel, flat, settings

from suder_bench.errors import UserError
from suder_bench.models.reference import choose
from suder_bench.runs.execute import Run
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    Run(tmp_path / "r", REFERENCE, settings("drawing")).execute(Screen(io.StringIO()), FakeModel)
    return tmp_path / "r"


@pytest.mark.parametrize("damage", DAMAGES)
def test_scoring_again_names_it_and_skips_it(drawn: Path, damage: Callable[[Path], None]) -> None:
    file = drawn / "images/drawing/003/samples/00001.png"
    damage(file)
    stderr = io.StringIO()
    outcome = Run(drawn, REFERENCE, settings("drawing"), stage="score").execute(Screen(stderr))
    entry = outcome.summary["benchmarks"]["drawing"]
    assert (entry["n_responses"], entry["skipped"], entry["failed"], outcome.complete) == (23, 1, 0, True)
    assert entry["metrics"]["overall"]["value"] == 1.0
    (told,) = [line for line in stderr.getvalue().splitlines() if str(file) in line]
    assert re.fullmatch(f"lost: drawing: {re.escape(str(file))} is not a readable picture \\(.*{DAMAGES[damage]}.*\\)", told)


def test_the_run_draws_it_again(drawn: Path) -> None:
    file = drawn / "images/drawing/003/samples/00001.png"
    whole = file.read_bytes()
    for spoil in (truncated, Path.unlink, flat(200).save):
        spoil(file)
        stderr = io.StringIO()
        assert Run(drawn, REFERENCE, settings("drawing")).execute(Screen(stderr), FakeModel).complete
        assert file.read_bytes() == whole
        assert stderr.getvalue().count(f"lost: drawing: {file} is not ") == 1


def test_a_picture_that_breaks_while_the_judges_work_is_skipped(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was whole when the run folder was read."""
    known = RunFolder(drawn).responses("drawing", repair=False)
    monkeypatch.setattr(RunFolder, "responses", lambda *_, **__: known)
    truncated(drawn / "images/drawing/003/samples/00001.png")
    stderr = io.StringIO()
    black = settings("drawing", judges={"shade": "black"})
    entry = Run(drawn, REFERENCE, black, stage="score").execute(Screen(stderr)).summary["benchmarks"]["drawing"]
    assert (entry["n_responses"], entry["skipped"], entry["failed"]) == (23, 1, 0)
    assert "skipped: drawing: " in stderr.getvalue()


def test_a_damaged_picture_made_elsewhere_is_one_failed_response(drawn: Path, tmp_path: Path) -> None:
    truncated(drawn / "images/drawing/003/samples/00001.png")
    stderr = io.StringIO()
    model = choose(f"folder:{drawn / 'images'}")
    outcome = Run(tmp_path / "copy", model, settings("drawing")).execute(Screen(stderr))
    entry = outcome.summary["benchmarks"]["drawing"]
    assert (entry["n_responses"], entry["failed"], outcome.complete) == (23, 1, False)
    (told,) = [line for line in stderr.getvalue().splitlines() if line.startswith("failed")]
    assert "00001.png is not a readable picture (" in told
    assert "Traceback" not in stderr.getvalue()


@pytest.mark.parametrize("content", ["[]", "7", "null"])
def test_a_run_json_that_holds_no_object_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"run\.json is not readable \(it holds no object\); start over with: suder-bench run "):
        RunFolder(tmp_path).read()
