"""docs/scale.md tells the truth: its commands run, side by side where it says so, and all of them give the same numbers."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
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


@pytest.mark.slow
def test_the_job_is_taken_by_a_cluster(tmp_path: Path) -> None:
    """`ray start`, then `ray job submit` from outside, which wants Ray with its dashboard."""
    pytest.importorskip("opencensus", reason="ray[default] is not installed")
    [submit] = re.findall(r"^    (ray job submit .*)$", TEXT, flags=re.MULTILINE)
    port, dashboard = free_port(), free_port()
    out = tmp_path / "runs/NAME"
    submit = (
        submit.replace("HEAD:8265", f"127.0.0.1:{dashboard}")
        .replace("CHECKPOINT", "tiny-janus")
        .replace("/FOLDER/NAME", str(out))
        .replace("--suite gen", "--benchmark geneval --limit 60")
    )
    start = f"ray start --head --block --port {port} --dashboard-port {dashboard} --num-cpus 2 --disable-usage-stats"
    short = tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True)
    environment = {**os.environ, "RAY_ADDRESS": "", "RAY_TMPDIR": short.name, "HOME": str(tmp_path)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with short, subprocess.Popen(shlex.split(start), env=environment, stdout=subprocess.DEVNULL) as cluster:
        try:
            wait_for(f"http://127.0.0.1:{dashboard}/api/version")
            done = run(submit, tmp_path, **environment)
        finally:
            cluster.terminate()
    assert done.returncode == 0, done.stdout + done.stderr
    assert numbers(out)
    assert "succeeded" in done.stdout


def wait_for(address: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"nothing answers at {address}")


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def test_links_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    assert [link for link in links if not (Path(__file__).parents[1] / "docs" / link).exists()] == []
