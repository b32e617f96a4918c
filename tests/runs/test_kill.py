"""`kill -9` at ten random moments, each followed by the same command, ends where an undisturbed run ends."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from suder_bench.runs.jsonl import Ledger

PROMPTS = 60
KILLS = 10


def start(out: Path, data: Path) -> subprocess.Popen[str]:
    """The run, once everything is imported and the work begins."""
    command = [sys.executable, str(Path(__file__).parent / "slow_run.py"), str(out), str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def finish(out: Path, data: Path) -> str:
    """Let the run end undisturbed; the metrics of its summary, as text."""
    with start(out, data) as process:
        assert process.wait(60) == 0
    return json.dumps(json.loads((out / "summary.json").read_text())["benchmarks"])


def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/shades.txt").write_text(" ".join(map(str, range(PROMPTS))))
    rng = random.Random(0)
    unfinished = 0
    for _ in range(KILLS):
        with start(tmp_path / "killed", tmp_path / "data") as process:
            time.sleep(rng.uniform(0, 0.08))
            process.kill()
        unfinished += not (tmp_path / "killed/summary.json").exists()
    assert unfinished >= KILLS // 2, "the run is too fast to be killed"
    assert finish(tmp_path / "killed", tmp_path / "data") == finish(tmp_path / "whole", tmp_path / "data")
    for part in ("responses", "verdicts"):
        for benchmark in ("drawing", "reading"):
            found, expected = (
                sorted((row["sample"], row["repeat"], row["digest"]) for row in Ledger(tmp_path / run / part / benchmark).rows())
                for run in ("killed", "whole")
            )
            assert found == expected
    pictures = {path.relative_to(tmp_path / "killed") for path in (tmp_path / "killed/images").rglob("*.png")}
    assert pictures == {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole/images").rglob("*.png")}
