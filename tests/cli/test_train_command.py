"""`suder-bench train` before anything is trained: its options, its dry run, and one line for every mistake."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from suder_bench.cli import main
from suder_bench.training.recipe import read_recipe

HEAVY = ("torch", "transformers", "accelerate", "numpy", "PIL", "yaml", "matplotlib")


@pytest.mark.parametrize("arguments", [["train", "--help"], ["track", "--help"], ["train", "--confi", "tiny"], ["train"]])
def test_help_and_mistakes_import_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from suder_bench.cli import main
main({arguments})
print(sorted(set({HEAVY}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_dry_run_prints_the_whole_recipe_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config", "tiny", "--set", "trainer.learning_rate=1e-5", "--set", "lora.r=4", "--dry-run"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert list(tmp_path.iterdir()) == []
    Path("same.yaml").write_text(told.out)
    assert read_recipe("same.yaml") == read_recipe("tiny", ["trainer.learning_rate=1e-5", "lora.r=4"])
    assert "simpo_gamma: 0.5" in told.out  # the defaults too


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command says."""
    assert main(["train", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err.removeprefix("suder-bench: ").strip()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --config RECIPE, or --out DIR --resume to go on with a training"),
        (["--out", "new", "--resume"], "new holds no training to resume; start one with --config RECIPE"),
        (["--out", "new"], "new holds no training to resume; start one with --config RECIPE"),
        (["--config", "tniy"], "unknown recipe 'tniy'; did you mean 'tiny'? "),
        (["--config", "tiny", "--set", "simpo.betta=3"], "--set simpo.betta=3: unknown key 'simpo.betta'; did you mean "),
        (["--config", "tiny", "--set", "trainer.bf17=true"], "--set trainer.bf17=true: unknown key 'trainer.bf17'; did you "),
        (["--config", "tiny", "--set", "trainer.use_cpu=1"], "--set trainer.use_cpu=1: trainer.use_cpu is not set here; use "),
        (
            ["--config", "tiny", "--dry-run", "--set", "trainable=vision"],
            "--set trainable=vision: trainable: unknown trainable part 'vision'; ",
        ),
        (["--config", "tiny", "--device", "gpu"], "unknown device 'gpu'"),
        (["--config", "tiny", "--steps", "3"], "unrecognized arguments: --steps 3 (see suder-bench train --help)"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(arguments, capsys).startswith(says)
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_spec(name: str, *others: Any) -> Any:
        return None if name == "accelerate" else real(name, *others)

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    said = refused(["--config", "tiny"], capsys)
    assert said == 'training needs the package accelerate; install it with pip install -c constraints.txt ".[train]"'
