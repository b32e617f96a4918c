"""`suder-bench run` with vision-language models, offline and on the embedded world."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suder_bench import cli

WORLD = ["--data", "world", "--offline", "--limit", "1", "--device", "cpu"]


@pytest.mark.parametrize(("name", "suite"), [("llava", "all"), ("qwen2_5_vl", "und")])
def test_the_suite_of_questions(
    name: str, suite: str, checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which is all that there is for such a model."""
    out = tmp_path / "run"
    assert cli.main(["run", "--model", str(checkpoints[name]), "--suite", suite, "--out", str(out), *WORLD]) == 0
    told = "answers questions and draws nothing: --suite all is --suite und for it"
    assert (told in capsys.readouterr().err) == (suite == "all")
    assert json.loads((out / "run.json").read_text())["suite"] == "und"
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["benchmarks"]) == {"pope", "hallusionbench", "llavabench", "mmbench", "seedbench"}
    settings = json.loads((out / "run.json").read_text())["model"]["settings"]
    assert (settings["adapter"], settings["family"]) == ("vlm", name)


def test_the_suite_of_pictures_is_refused(
    checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--model", str(checkpoints["llava"]), "--suite", "gen", "--out", str(tmp_path / "run"), *WORLD]) == 2
    assert "draws no pictures, which geneval asks for; choose --suite und" in capsys.readouterr().err.splitlines()[-1]


def test_questions_without_a_picture_are_refused_before_one_is_asked(
    checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--benchmark", "hallusionbench", "--protocol", "official-llm", "--data", "world", "--offline", "--device", "cpu"]
    out = tmp_path / "run"
    assert cli.main(["run", "--model", str(checkpoints["instructblip"]), "--out", str(out), *asked]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "takes 1 picture a question, but" in line
    assert "have 0; leave hallusionbench out" in line
    assert not list(out.glob("*/responses.jsonl"))
