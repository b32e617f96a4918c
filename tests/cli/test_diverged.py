"""A checkpoint whose weights are no numbers, by every command that loads one: told in a line, and never a score."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from models.tiny import write_checkpoint
from safetensors.torch import load_file, save_file

from suder_bench.cli import main

pytestmark = pytest.mark.usefixtures("fakes")
WEIGHT = "model.language_model.layers.1.mlp.up_proj.weight"
TOLD = f"numbers of weight {WEIGHT} are NaN or infinite"


@pytest.fixture
def diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Beside its start, in the folder of a training."""
    monkeypatch.chdir(tmp_path)
    start = write_checkpoint(tmp_path / "start")
    folder = shutil.copytree(start, tmp_path / "r/checkpoint-5")
    weights = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    weights[WEIGHT][0, 0] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "trainer_state.json").write_text("{}")
    Path("r/recipe.yaml").write_text("model: start\nstrategy: unified\n")
    return folder


def command(name: str, *others: str) -> list[str]:
    data = str(Path(__file__).parent)
    return [*name.split(), *others, "--benchmark", "drawing", "--device", "cpu", "--data", data, "--limit", "3"]


def test_run_refuses_it(diverged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("run", "--model", str(diverged), "--out", "out")) == 2
    assert TOLD in capsys.readouterr().err
    assert not Path("out").exists()


def test_track_leaves_it_out_and_says_so(diverged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(command("track", "r", "--json")) == 1
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert [row["step"] for row in found["benchmarks"]["drawing"]["steps"]] == [0]
    assert TOLD in found["failures"]["step 5, drawing"]
    assert TOLD in told.err
    assert "Traceback" not in told.err
    assert not Path("r/evaluations/step-5").exists()
    assert "5," not in [line[:2] for line in Path("r/evaluations/curves.csv").read_text().splitlines()]


def test_a_comparison_of_rewards_refuses_it(diverged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [
        "--rewards",
        "dsr",
        "--out",
        "out",
        "--device",
        "cpu",
        "--prompts",
        "drawing",
        "--data",
        str(Path(__file__).parent),
    ]
    assert main(["reward", "compare", "--model", str(diverged), *settings]) == 2
    assert TOLD in capsys.readouterr().err
    assert not Path("out").exists()
