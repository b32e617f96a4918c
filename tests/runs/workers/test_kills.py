"""`kill -9` of the driver, or of its workers at random moments: nothing is lost, nothing doubled, and nobody is left behind."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from fakes import REFERENCE, FakeModel, settings
from kin import KIN, alive, children, end
from trials import trials

from suder_bench.runs.execute import Run
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.screen import Screen

pytestmark = [
    pytest.mark.usefixtures("fakes"),
    pytest.mark.skipif(not KIN, reason="children are found in /proc"),
]
SCRIPT = Path(__file__).parents[1] / "slow_run.py"


def start(out: Path, data: Path, *staffing: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(out), str(data), *map(str, staffing)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def written(out: Path) -> int:
    return sum(len(file.read_bytes().splitlines()) for file in (out / "responses").rglob("*.jsonl"))


def prompts(data: Path, count: int) -> Path:
    data.mkdir()
    (data / "shades.txt").write_text(" ".join(str(i % 256) for i in range(count)))
    return data


def assert_whole(out: Path, data: Path, whole: Path) -> None:
    """What is in `out` is what an undisturbed run in one process leaves in `whole`."""
    Run(whole, REFERENCE, settings(data=data), batch_size=3).execute(Screen(), FakeModel)
    for part in ("responses", "verdicts"):
        for benchmark in ("drawing", "reading"):
            found, expected = (
                Counter((row["sample"], row["repeat"], row["digest"]) for row in Ledger(run / part / benchmark).rows())
                for run in (out, whole)
            )
            assert found == expected
    summaries = [json.loads((run / "summary.json").read_text())["benchmarks"] for run in (out, whole)]
    assert summaries[0] == summaries[1]
    assert {file.relative_to(out) for file in out.rglob("*.png")} == {file.relative_to(whole) for file in whole.rglob("*.png")}


def test_workers_end_with_their_driver_and_the_same_command_goes_on(tmp_path: Path) -> None:
    data = prompts(tmp_path / "data", 200)
    with start(tmp_path / "r", data, 2, 1) as process:
        while written(tmp_path / "r") < 9:
            time.sleep(0.01)
        own = children(process.pid)
        process.kill()
    assert len(own) == 3
    until = time.monotonic() + 20
    while any(map(alive, own)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, own)), "workers outlive their driver"
    assert not (tmp_path / "r/summary.json").exists()
    with start(tmp_path / "r", data, 2, 1) as process:
        assert process.wait(120) == 0
    assert_whole(tmp_path / "r", data, tmp_path / "whole")


@pytest.mark.slow
def test_many_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """In as many runs as that takes: a quick machine ends each of them after fewer."""
    data, rng = prompts(tmp_path / "data", 1500), random.Random(0)
    number = trials(25, thorough=100)
    killed: Counter[str] = Counter()
    while killed.total() < number:
        out, status = tmp_path / f"r{killed.total()}", None
        while status != 0:
            with start(out, data, 2, 1) as process:
                while process.poll() is None and killed.total() < number:
                    time.sleep(rng.uniform(0.05, 1.0))
                    own = children(process.pid)
                    if killed.total() % 7 == 6:
                        killed["driver"] += 1
                        process.kill()
                    elif own:
                        killed["worker"] += 1
                        end(rng.choice(own))
                status = process.wait(300)
        assert_whole(out, data, tmp_path / "whole")
    assert killed["driver"] >= number // 20
    assert killed["worker"] >= number * 6 // 10
