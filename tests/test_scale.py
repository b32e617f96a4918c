"""docs/scale.md tells the truth: its commands run, side by side where it says so, and all of them give the same numbers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "docs/scale.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
LIMIT = "36"


def run(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A block as a shell runs it, on few prompts."""
    script = script.replace("--limit 60", f"--limit {LIMIT} --repeats 1 --batch-size 4")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **environment,
    }
    return subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def numbers(run: Path) -> object:
    return json.loads((run / "summary.json").read_text())["benchmarks"]


@pytest.mark.slow
def test_its_commands_run_and_give_the_numbers_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    assert len(BLOCKS) == 4
    alone = "suder-bench run --model tiny-janus --suite gen --limit 60 --out runs/alone"
    for script in (alone, *BLOCKS):
        done = run(script, tmp_path)
        assert done.returncode == 0, done.stderr
    folders = [tmp_path / "runs" / name for name in ("alone", "workers", "ray", "shards")]
    assert all(numbers(folder) == numbers(folders[0]) for folder in folders)
    assert len(list((folders[3] / "responses/geneval").iterdir())) > 1


@pytest.mark.slow
def test_the_line_for_slurm_runs_where_a_script_stands_for_srun(tmp_path: Path) -> None:
    [line] = re.findall(r"^    (srun .*)$", TEXT, flags=re.MULTILINE)
    srun = tmp_path / "srun"
    srun.write_text(
        "#!/usr/bin/env bash\n"
        "while [[ $1 == --* ]]; do [[ $1 == --ntasks ]] && n=$2; shift 2; done\n"
        'for ((i = 0; i < n; i++)); do SLURM_PROCID=$i SLURM_NTASKS=$n "$@" & done\nwait\n'
    )
    srun.chmod(0o755)
    line = (
        line.replace("--ntasks 8", "--ntasks 2")
        .replace("CHECKPOINT", "tiny-janus")
        .replace("--suite gen", "--benchmark geneval --limit 60")
    )
    done = run(line, tmp_path, PATH=f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert numbers(tmp_path / "runs/NAME")


def test_links_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    assert [link for link in links if not (Path(__file__).parents[1] / "docs" / link).exists()] == []
