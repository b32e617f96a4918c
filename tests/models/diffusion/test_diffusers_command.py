"""A pipeline of diffusers on the command line: evaluated, resumed, and refused before anything is drawn."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")

from models.tiny_pipelines import save_tiny_pipeline

from suder_bench.cli import main
from suder_bench.models.diffusion.model import DiffusersModel


@pytest.fixture(scope="module", params=["sd", "sd3"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("pipelines") / request.param, request.param)


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("pipelines") / "sd", "sd")


def run(model: Path | str, out: Path, *others: str) -> int:
    words = ["run", "--model", str(model), "--suite", "gen", "--data", "world", "--limit", "2", "--repeats", "1", "--offline"]
    return main([*words, "--out", str(out), *others])


def recipe(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


def test_a_folder_is_evaluated_and_its_settings_recorded(saved: Path, tmp_path: Path) -> None:
    assert run(saved, tmp_path / "run", "--steps", "2") == 0
    found = recipe(tmp_path / "run")
    own = {"sd": 7.5, "sd3": 7.0}[saved.name]
    assert found["model"]["adapter"] == "diffusers"
    assert found["sampling"]["image"] == {"temperature": 1.0, "guidance": own, "steps": 2}
    assert found["model"]["settings"]["own guidance"] == f"guidance_scale {own:g}"
    assert found["versions"]["diffusers"]
    assert set(json.loads((tmp_path / "run" / "summary.json").read_text())["benchmarks"]) == {"geneval", "t2i-compbench"}
    assert len(list((tmp_path / "run" / "images").rglob("*.png"))) == 4


def test_all_that_there_is_for_a_pipeline_is_drawing(sd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suite in ("all", "paper"):
        assert run(sd, tmp_path / suite, "--suite", suite, "--steps", "1", "--limit", "1") == 0
        assert f"draws pictures and answers nothing: --suite {suite} is --suite gen for it" in capsys.readouterr().err
        assert recipe(tmp_path / suite)["suite"] == "gen"
    assert run(sd, tmp_path / "named", "--suite", "all", "--benchmark", "pope") == 2
    assert "answers no questions, which pope asks for" in capsys.readouterr().err


def test_pictures_are_the_same_in_any_batch(sd: Path, tmp_path: Path) -> None:
    for size in ("1", "4"):
        assert run(sd, tmp_path / size, "--steps", "1", "--stage", "respond", "--batch-size", size) == 0
    one, four = ({f.name: f.read_bytes() for f in (tmp_path / size / "images").rglob("*.png")} for size in ("1", "4"))
    assert one == four


def test_guidance_and_steps_that_are_the_pipeline_s_own_go_on_with_its_run(
    sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def drawn(self: DiffusersModel, *words: Any, **others: Any) -> list[Any]:
        return generate(self, *words, **{**others, "sampling": type(others["sampling"])(guidance=1.0, steps=1)})

    generate = DiffusersModel.generate
    monkeypatch.setattr(DiffusersModel, "generate", drawn)  # 50 steps would take long
    assert run(sd, tmp_path / "run", "--stage", "respond") == 0
    assert recipe(tmp_path / "run")["sampling"]["image"] == {"temperature": 1.0, "guidance": 7.5, "steps": 50}
    assert run(sd, tmp_path / "run", "--stage", "respond", "--guidance", "7.5", "--steps", "50") == 0
    assert run(sd, tmp_path / "run", "--stage", "respond", "--steps", "20") == 2
    assert "was made with steps 50, not 20" in capsys.readouterr().err


def test_prompts_that_are_cut_are_told_and_recorded(
    sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("suder_bench.models.diffusion.reading.CLIP", 4)
    assert run(sd, tmp_path / "run", "--steps", "1", "--stage", "respond") == 0
    assert (
        "geneval: 2 of 2 prompts are longer than tokenizer (4 tokens) reads; the end of each is cut off"
        in capsys.readouterr().err
    )
    assert recipe(tmp_path / "run")["benchmarks"]["geneval"]["cut"] == {"tokenizer (4 tokens)": 2}
    assert run(sd, tmp_path / "run", "--steps", "1") == 0
    assert recipe(tmp_path / "run")["benchmarks"]["geneval"]["cut"] == {"tokenizer (4 tokens)": 2}


@pytest.mark.parametrize(
    ("others", "told"),
    [
        (["--temperature", "0"], "draws from noise, without a temperature; leave out --temperature"),
        (["--suite", "und"], "answers no questions, which pope asks for; choose --suite gen"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_is_drawn(
    sd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], others: list[str], told: str
) -> None:
    assert run(sd, tmp_path / "run", *others) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_steps_are_refused_of_a_model_that_draws_in_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tiny-janus", tmp_path / "run", "--steps", "3") == 2
    assert "draws in no steps; leave out --steps" in capsys.readouterr().err


def test_a_missing_package_is_named_with_the_command_that_brings_it(
    sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert run(sd, tmp_path / "run") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "models of diffusers need the package diffusers" in line
    assert line.endswith('run: pip install -c constraints.txt ".[diffusers]"')
