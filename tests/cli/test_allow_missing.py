"""`--allow-missing`: a few questions without their picture, a few without their answer, and numbers marked for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.evaluators.hallusionbench import HallusionBench
from suder_bench.evaluators.mmbench import MMBench
from suder_bench.evaluators.pope import Pope
from suder_bench.models.protocols import TextSampling
from suder_bench.runs.store import RunFolder


class Yes:
    """Answers yes."""

    fingerprint = "yes 1"

    def __init__(self) -> None:
        self.name = "yes"
        self.settings: dict[str, str] = {}

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str) -> Yes:
        return cls()

    def answer(
        self, images: Sequence[Sequence[Image.Image]], questions: Sequence[str], *, seeds: Sequence[int], sampling: TextSampling
    ) -> list[str]:
        return ["yes"] * len(questions)


@pytest.fixture
def pope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fakes: None) -> Path:
    """The world's POPE, of which a picture is lost."""
    monkeypatch.setattr(registry, "TABLE", {**registry.TABLE, "models": {"yes": f"{__name__}:Yes"}})
    registry.table.cache_clear()
    write_world(tmp_path / "data", size="quick", benchmarks=["pope"])
    lost(tmp_path / "data")[0].images[0].unlink()
    return tmp_path / "data"


def lost(data: Path) -> list[Any]:
    """The questions about the first picture."""
    questions = Pope(data).questions
    return [question for question in questions if question.images == questions[0].images]


def run(data: Path, out: Path, *options: str) -> int:
    return main(
        ["run", "--model", "yes:x", "--benchmark", "pope", "--data", str(data), "--device", "cpu", "--out", str(out), *options]
    )


def test_a_lost_picture_is_refused_with_the_way_on(pope: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = len(lost(pope))
    assert run(pope, tmp_path / "r") == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert f"{lost(pope)[0].images[0]} is missing (1 of " in told
    assert told.endswith(f"or go on without {questions} of the questions by --allow-missing {questions}")
    assert run(pope, tmp_path / "r", "--allow-missing", str(questions - 1)) == 2
    assert "is missing (1 of" in capsys.readouterr().err


def test_the_other_questions_are_asked_and_scored_and_the_number_is_marked(
    pope: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without, total = {question.id for question in lost(pope)}, len(Pope(pope).questions)
    assert run(pope, tmp_path / "r", "--allow-missing", str(len(without)), "--json") == 0
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    entry = summary["benchmarks"]["pope"]
    assert (entry["n_samples"], entry["n_responses"]) == (total, total - len(without))
    assert (entry["skipped"], entry["failed"]) == (len(without), 0)
    assert entry["deviations"] == [f"{len(without)} samples left out (--allow-missing)"]
    assert (
        f"pope: {len(without)} of {total} questions are left out, the first ({lost(pope)[0].id}) lacks its picture" in shown.err
    )
    answered = {name for name, _ in RunFolder(tmp_path / "r").responses("pope", repair=False)}
    assert answered == {question.id for question in Pope(pope).questions} - without
    assert summary["recipe"]["allow_missing"] == len(without)
    assert main(["score", str(tmp_path / "r"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"] == summary["benchmarks"]
    assert run(pope, tmp_path / "r", "--allow-missing", str(len(without))) == 0
    assert "marked  pope: " in capsys.readouterr().out
    assert main(["report", str(tmp_path / "r"), "--out", str(tmp_path / "report"), "--no-site", "--table", "3"]) == 0
    assert f"pope: {len(without)} samples left out" in (tmp_path / "report/tables/table-3-world.md").read_text()


def test_pictures_in_cocos_own_folder_may_lack_the_first(pope: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pope / "pope/images").rename(pope / "pope/val2014")
    assert run(pope, tmp_path / "r", "--allow-missing", "18", "--json") == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"]["pope"]["deviations"] == ["18 samples left out (--allow-missing)"]


def test_a_table_may_lack_a_picture_too(tmp_path: Path, pope: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_world(tmp_path / "table", size="quick", benchmarks=["mmbench"])
    file = tmp_path / "table/mmbench/MMBench_DEV_EN.tsv"
    heading, first, *rows = [line.split("\t") for line in file.read_text().splitlines()]
    first[heading.index("image")] = ""
    file.write_text("\n".join("\t".join(row) for row in (heading, first, *rows)))
    wanted = ["run", "--model", "yes:x", "--benchmark", "mmbench", "--data", str(tmp_path / "table"), "--device", "cpu"]
    assert main([*wanted, "--out", str(tmp_path / "r")]) == 2
    assert "MMBench_DEV_EN.tsv/index 1" in (told := capsys.readouterr().err)
    assert told.endswith(", or go on without 4 of the questions by --allow-missing 4\n")  # its rotations refer to the row
    assert main([*wanted, "--out", str(tmp_path / "r"), "--allow-missing", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["benchmarks"]["mmbench"]
    assert (found["skipped"], found["deviations"]) == (4, ["4 samples left out (--allow-missing)"])


def test_responses_alone_count_what_is_left_out_too(pope: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without, total = len(lost(pope)), len(Pope(pope).questions)
    assert run(pope, tmp_path / "r", "--allow-missing", str(without), "--stage", "respond", "--json") == 0
    entry = json.loads(capsys.readouterr().out)["benchmarks"]["pope"]
    assert (entry["n_samples"], entry["skipped"], entry["deviations"]) == (
        total,
        total,
        [f"{without} samples left out (--allow-missing)"],
    )


def test_nothing_lost_is_nothing_marked(pope: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (64, 64)).save(lost(pope)[0].images[0])
    assert run(pope, tmp_path / "r", "--allow-missing", "9", "--json", "--limit", "12") == 0
    entry = json.loads(capsys.readouterr().out)["benchmarks"]["pope"]
    assert (entry["skipped"], entry.get("deviations")) == (0, None)


def answers(benchmark: Any, file: Path) -> list[str]:
    """A file of answers to all questions, in the benchmark's own format; its lines, or rows."""
    if isinstance(benchmark, HallusionBench):
        return [json.dumps(row | {"model_prediction": "Yes."}) for row in benchmark.rows.values()]
    asked = [sample for sample in benchmark.questions if not sample.truth.get("pass")]
    return [json.dumps({"question_id": sample.id, "text": "yes"}) for sample in asked]


@pytest.mark.parametrize(("name", "benchmark"), [("pope", Pope), ("mmbench", MMBench), ("hallusionbench", HallusionBench)])
def test_a_lost_answer_is_allowed_by_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, benchmark: Any
) -> None:
    write_world(tmp_path / "data", size="quick", benchmarks=[name])
    file = tmp_path / "answers.jsonl"
    lines = answers(benchmark(tmp_path / "data"), file)[1:]
    file.write_text(f"[{','.join(lines)}]" if name == "hallusionbench" else "\n".join(lines))
    score = ["score", "--benchmark", name, "--answers", str(file), "--data", str(tmp_path / "data"), "--json"]
    assert main(score) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.endswith("; --allow-missing 1 scores the others")
    assert main([*score, "--allow-missing", "1"]) == 0
    shown = capsys.readouterr()
    entry = json.loads(shown.out)["benchmarks"][name]
    asked = len([sample for sample in benchmark(tmp_path / "data").questions if not sample.truth.get("pass")])
    assert (entry["n_responses"], entry["skipped"]) == (asked - 1, 1)
    assert entry["deviations"] == ["1 sample left out (--allow-missing)"]
    assert f"{name}: 1 of {asked:,} samples have no response" in shown.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--benchmark", "geneval", "--images", "x"], "--allow-missing is for --answers"),
        (["r"], "give either RUN, or --benchmark"),
    ],
)
def test_where_it_says_nothing_it_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *arguments, "--allow-missing", "1"]) == 2
    assert said in capsys.readouterr().err
