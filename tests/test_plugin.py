"""The how-tos of CONTRIBUTING.md, on a package that is installed beside suder-bench and takes part by entry points alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"


@pytest.fixture
def suder_bench(installed, tmp_path):
    """suder_bench(*argv) -> the finished command, run outside the repository with the plug-in installed."""
    command = [sys.executable, "-c", "import sys; from suder_bench.cli import main; sys.exit(main())"]
    environment = {**os.environ, "PYTHONPATH": str(installed), "SUDER_BENCH_CACHE": str(tmp_path / "cache")}

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *argv], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_the_added_names_are_listed(suder_bench):
    names = json.loads(suder_bench("list", "--json").stdout)
    assert "brightness" in names["benchmarks"]
    assert "flat:REFERENCE" in names["models"]
    assert names["judges"]["lightness"] == ["mean"]
    assert "brightness" in names["rewards"]


@pytest.mark.parametrize(("model", "accuracy"), [("honest", 1), ("contrary", 0)])
def test_the_added_benchmark_model_and_judge_make_a_run(suder_bench, tmp_path, model, accuracy):
    (tmp_path / "data").mkdir()
    done = suder_bench("run", "--model", f"flat:{model}", "--benchmark", "brightness", "--data", "data", "--json")
    assert done.returncode == 0, done.stderr
    entry = json.loads(done.stdout)["benchmarks"]["brightness"]
    assert entry["metrics"]["accuracy"]["value"] == accuracy
    assert entry["metrics"]["accuracy"]["n"] == entry["n_responses"] == 16
    assert entry["judges"]["lightness"]["backend"] == "mean"


def test_pictures_made_elsewhere_are_scored(suder_bench, tmp_path):
    (tmp_path / "data").mkdir()
    run = suder_bench("run", "--model", "flat:honest", "--benchmark", "brightness", "--data", "data", "--out", "run")
    assert run.returncode == 0, run.stderr
    again = suder_bench(*("score", "--benchmark", "brightness", "--images", "run/images/brightness", "--data", "data", "--json"))
    assert json.loads(again.stdout)["benchmarks"]["brightness"]["metrics"]["accuracy"]["value"] == 1, again.stderr


def test_a_mistake_in_an_added_model_is_one_line(suder_bench, tmp_path):
    (tmp_path / "data").mkdir()
    done = suder_bench("run", "--model", "flat:honst", "--benchmark", "brightness", "--data", "data")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "suder-bench: unknown flat model 'honst'; did you mean 'honest'? (choices: contrary, honest)"
    )


def test_the_added_reward_tells_right_from_wrong(installed):
    code = (
        "from PIL import Image; from suder_bench import registry; "
        "reward = registry.load('rewards', 'brightness').load(None); "
        "print(*reward.score_images(['a white wall', 'a black wall'], [Image.new('RGB', (4, 4), 'white')] * 2))"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, "-c", code], cwd=installed, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["1.0", "0.0"], done.stderr


def test_the_added_reward_is_compared(suder_bench, tmp_path):
    (tmp_path / "data").mkdir()
    compared = ("--rewards", "brightness", "--prompts", "brightness", "--samples", "2", "--data", "data", "--json")
    done = suder_bench("reward", "compare", "--model", "flat:honest", *compared)
    assert done.returncode == 0, done.stderr
    pictures = json.loads(done.stdout)["pictures"]
    assert pictures["rewards"]["brightness"]["best"]["value"] == 1


def test_every_file_that_contributing_points_at_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", CONTRIBUTING.read_text(encoding="utf-8"))
    assert {f"tests/plugin/suder_bench_example/{what}.py" for what in ("benchmark", "model", "mosaic", "judge", "reward")} <= set(
        links
    )
    assert [link for link in links if not (CONTRIBUTING.parent / link).exists()] == []
