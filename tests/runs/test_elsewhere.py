"""Scoring pictures and answers made elsewhere."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damaged import DAMAGES
from fakes import REFERENCE, Drawing, FakeModel, flat, settings

from suder_bench.data.source import Source
from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.mmbench import MMBench
from suder_bench.evaluators.seedbench import SeedBench
from suder_bench.records import Stranger
from suder_bench.runs.elsewhere import Elsewhere
from suder_bench.runs.execute import Outcome, Run
from suder_bench.runs.screen import Screen
from suder_bench.runs.table import render
from suder_bench.world import tasks

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


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The pictures of a run that is always right: 12 prompts, two each."""
    Run(tmp_path / "r", REFERENCE, settings("drawing")).execute(Screen(io.StringIO()), FakeModel)
    return tmp_path / "r/images/drawing"


def counted(pictures: Path) -> tuple[tuple[int, int, int, bool], float, list[str]]:
    """((responses, skipped, failed, complete), the score, what was told)."""
    stderr = io.StringIO()
    outcome = score("drawing", pictures, Screen(stderr))
    entry = outcome.summary["benchmarks"]["drawing"]
    numbers = (entry["n_responses"], entry["skipped"], entry["failed"], outcome.complete)
    return numbers, entry["metrics"]["overall"]["value"], stderr.getvalue().splitlines()


def test_prompts_without_a_picture_are_told_and_counted(made: Path, tmp_path: Path) -> None:
    shutil.rmtree(made / "003")
    numbers, _, told = counted(made)
    assert numbers == (22, 2, 0, True)
    assert told == [f"drawing: 1 of 12 samples have no response, first 003 ({made}/003/samples/00000.png)"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds nothing in the layout of drawing"):
        score("drawing", tmp_path / "empty")


def test_a_missing_picture_is_named_and_skipped(made: Path) -> None:
    (made / "003/samples/00000.png").unlink()
    numbers, value, told = counted(made)
    assert (numbers, value) == ((23, 1, 0, True), 1.0)
    assert told == [f"skipped: drawing: {made}/003/samples/00000.png is missing (1 of 2 pictures of 003)"]


def test_a_missing_picture_is_told_where_pictures_have_numbers_of_their_own(made: Path) -> None:
    (made / "003/samples/00000.png").unlink()
    (made / "003/samples/00001.png").rename(made / "003/samples/0001.png")
    numbers, _, told = counted(made)
    assert numbers == (23, 1, 0, True)
    assert told == [f"skipped: drawing: {made}/003/samples lacks a picture (1 of 2 pictures of 003)"]


def test_fewer_pictures_for_every_prompt_are_nothing_missing(made: Path) -> None:
    for file in made.glob("*/samples/00001.png"):
        file.unlink()
    assert counted(made) == ((12, 0, 0, True), 1.0, [])


def test_a_picture_too_many_is_named_and_counts_as_it_does_officially(made: Path) -> None:
    flat(60).save(made / "003/samples/00002.png")
    numbers, _, told = counted(made)
    assert numbers == (25, 0, 0, True)
    assert told == [f"drawing: {made}/003/samples/00002.png is picture 3 of 003, which has 2 officially; it counts too"]


def test_a_picture_of_no_sample_is_named_and_skipped(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = made / "999/samples/00000.png"
    monkeypatch.setattr(Drawing, "strangers", lambda self, folder: [Stranger(extra, "there are 12")], raising=False)
    numbers, value, told = counted(made)
    assert (numbers, value) == ((24, 1, 0, True), 1.0)
    assert told == [f"skipped: drawing: {extra} belongs to no sample: there are 12"]


def test_pictures_that_are_not_read_are_named_and_counted_once(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of one prompt, one of another that lacks another too, and one too many of a third."""
    others = [made / name for name in ("003/samples/00000.webp", "003/samples/00001.webp", "004/samples/00001.webp")]
    others.append(made / "005/samples/00002.webp")
    for file in others[:3]:
        file.with_suffix(".png").rename(file)
    (made / "004/samples/00000.png").unlink()
    flat(80).save(made / "004/samples/00002.png")
    samples = {sample.id: sample for sample in Drawing(made).samples()}
    strangers = [Stranger(file, "its name is not <number>.png", samples[file.parts[-3]]) for file in others]
    monkeypatch.setattr(Drawing, "strangers", lambda self, folder: strangers, raising=False)
    numbers, _, told = counted(made)
    assert numbers == (21, 4, 0, True)
    assert told[:4] == [
        f"skipped: drawing: {file} of {file.parts[-3]} is not read: its name is not <number>.png" for file in others
    ]
    assert told[4:] == [
        f"drawing: {made}/004/samples/00002.png is picture 3 of 004, which has 2 officially; it counts too",
        f"drawing: 1 of 12 samples have no response, first 003 ({made}/003/samples/00000.png)",
    ]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_picture_that_cannot_be_read_is_named_and_skipped(made: Path, damage: Callable[[Path], None]) -> None:
    file = made / "003/samples/00001.png"
    damage(file)
    numbers, value, (told,) = counted(made)
    assert (numbers, value) == ((23, 1, 0, True), 1.0)
    assert re.fullmatch(f"skipped: drawing: {re.escape(str(file))} is not a readable picture \\(.*{DAMAGES[damage]}.*\\)", told)


def test_many_damaged_pictures_are_told_in_a_few_lines(made: Path) -> None:
    for file in made.glob("*/samples/*.png"):
        file.write_bytes(b"")
    stderr = io.StringIO()
    entry = score("drawing", made, Screen(stderr)).summary["benchmarks"]["drawing"]
    assert (entry["n_responses"], entry["skipped"], entry["metrics"]) == (0, 24, {})
    assert len(stderr.getvalue().splitlines()) == 21
    assert stderr.getvalue().endswith("4 more pictures that cannot be read\n")


def test_two_pictures_for_one_response_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "001/samples").mkdir(parents=True)
    for name in ("0.png", "00.png"):
        flat(20).save(tmp_path / "001/samples" / name)
    with pytest.raises(UserError, match=r"0\.png and .*00\.png are both picture 0 of sample 001"):
        score("drawing", tmp_path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no answers at"):
        score("reading", tmp_path / "nothing")
    with pytest.raises(UserError, match="is not a folder of pictures"):
        score("drawing", tmp_path / "nothing")


def test_judges_are_chosen_checked_and_missed_as_in_a_run(tmp_path: Path) -> None:
    (tmp_path / "001/samples").mkdir(parents=True)
    flat(20).save(tmp_path / "001/samples/0.png")
    assert score("drawing", tmp_path).summary["benchmarks"]["drawing"]["metrics"]["overall"]["value"] == 1.0
    black = score("drawing", tmp_path, judges={"shade": "black"}).summary["benchmarks"]["drawing"]
    assert (black["metrics"]["overall"]["value"], black["judges"]["shade"]["exact"]) == (0.0, False)
    with pytest.raises(JudgeError, match="nothing was scored"):
        score("drawing", tmp_path, judges={"shade": "wrong"})
    unchecked = score("drawing", tmp_path, judges={"shade": "wrong"}, known_answers=False).summary
    assert unchecked["benchmarks"]["drawing"]["judges"]["shade"]["unchecked"] is True
    assert "not asked known answers, so nobody knows if they work: shade" in render(unchecked)
    missing = score("drawing", tmp_path, judges={"shade": "missing"})
    assert not missing.complete
    assert missing.summary["benchmarks"]["drawing"]["failed"] == 1


def test_answers_to_the_main_rows_alone_lack_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    tasks.write(data, size="quick", benchmarks=["mmbench"])
    main = [sample for sample in MMBench(data).samples() if not sample.truth["pass"]]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"question_id": sample.id, "text": "A"}) + "\n" for sample in main))
    stderr = io.StringIO()
    entry = Elsewhere("mmbench", answers, Source("folder", path=data)).score(Screen(stderr)).summary["benchmarks"]["mmbench"]
    assert (entry["n_responses"], entry["n_samples"], entry["skipped"]) == (len(main), len(main), 0)
    [told] = stderr.getvalue().splitlines()
    assert told.startswith("mmbench: 48 questions in 182 rows (")


def test_what_a_benchmark_remarks_on_answers_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    tasks.write(data, size="quick", benchmarks=["seedbench"])
    first, *_ = SeedBench(data).samples()
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"question_id": first.id, "text": "A"}) + "\n")
    stderr = io.StringIO()
    Elsewhere("seedbench", answers, Source("folder", path=data)).score(Screen(stderr))
    assert stderr.getvalue().splitlines() == [
        f"seedbench: 90 image questions, from {data / 'seedbench' / 'SEED-Bench.json'}",
        "seedbench: no answer to 89 of 90 questions, which counts as wrong",
    ]
