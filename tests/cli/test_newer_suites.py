"""The suites `reason` and `gen2` run with the shipped model on a fresh machine, offline; their numbers do as others' do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suder_bench import suites
from suder_bench.cli import main


@pytest.mark.parametrize("suite", ["reason", "gen2"])
def test_a_suite_runs_on_the_world_goes_on_and_scores_again(
    suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = ["run", "--model", "tiny-janus", "--suite", suite, "--data", "world", "--device", "cpu", "--offline", "--out", "r"]
    assert main([*wanted, "--limit", "2", "--repeats", "1", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["suite"], list(summary["benchmarks"])) == (suite, list(suites.SUITES[suite]))
    for entry in summary["benchmarks"].values():
        assert (entry["n_responses"], entry["skipped"], entry["failed"]) == (entry["n_samples"], 0, 0)
        assert entry["headline"] in entry["metrics"]
        assert {judge["backend"] for judge in entry["judges"].values()} == {"world"}
    assert main(["score", "r", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"] == summary["benchmarks"]
    assert main(["score", "r"]) == 0
    assert "scored on the embedded world" in capsys.readouterr().out


def test_the_pictures_of_a_run_lie_as_the_official_scripts_want_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "r"
    names = ("geneval2", "t2i-reasonbench", "wise-legacy")
    chosen = [word for name in names for word in ("--benchmark", name)]
    run = ["run", "--model", "tiny-janus", *chosen, "--data", "world", "--device", "cpu", "--limit", "1", "--out", str(made)]
    assert main([*run, "--stage", "respond"]) == 0
    files = {file.relative_to(made / "images").as_posix() for file in (made / "images").rglob("*.png")}
    assert files == {"geneval2/00000.png", "t2i-reasonbench/idiom_interpretation/0001.png", "wise-legacy/1.png"}
    for name in names:
        capsys.readouterr()
        assert main(["score", "--benchmark", name, "--images", str(made / "images"), "--data", "world", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["benchmarks"][name]["n_responses"] == 1
