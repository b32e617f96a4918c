"""`--ray` and its companions: what is refused, in one line, before Ray is imported or anything is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from suder_bench.cli import main

RUN = ["run", "--model", "tiny-janus", "--suite", "gen", "--limit", "1", "--out", "r"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--gpus-per-worker", "1"], "--gpus-per-worker is for workers in a Ray cluster; give --ray auto, or leave it out"),
        (["--judge-gpus", "0.5"], "--judge-gpus is for workers in a Ray cluster; give --ray auto, or leave it out"),
        (["--ray", "auto", "--gpus-per-worker", "1.5"], "'1.5' is neither a part of a GPU nor a whole number of them"),
        (["--ray", "auto", "--gpus-per-worker", "-1"], "'-1' is not a number from 0 on"),
    ],
)
def test_shares_of_gpus_belong_to_a_cluster(more: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, *more]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not Path("r").exists()


def test_without_the_extra_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*RUN, "--ray", "auto"]) == 2
    assert capsys.readouterr().err.endswith('--ray needs Ray, which is not installed; pip install -c constraints.txt ".[ray]"\n')
    assert not Path("r").exists()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:9", "no Ray cluster answers at 127.0.0.1:9 (Connection refused); give --ray auto, or HOST:PORT of one"),
        ("somewhere", "no Ray cluster answers at somewhere (no HOST:PORT); give --ray auto, or HOST:PORT of one"),
        ("ray://127.0.0.1:10001", "--ray ray://127.0.0.1:10001 is an address of Ray's client; give HOST:PORT of the cluster"),
    ],
)
def test_an_address_where_nothing_answers(address: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    assert main([*RUN, "--ray", address, "--workers", "1"]) == 2
    assert says in capsys.readouterr().err
    assert not Path("r").exists()


def test_nothing_of_ray_is_imported_without_it() -> None:
    script = (
        "import sys; from suder_bench.cli import main; "
        "status = main(['run', '--model', 'tiny-janus', '--benchmark', 'geneval', '--limit', '1', '--repeats', '1', "
        "'--out', 'r', '--workers', '1', '--stage', 'respond']); sys.exit(status or 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
