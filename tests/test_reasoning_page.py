"""docs/reasoning.md tells the truth: its commands run, and the metrics, headlines and protocols that it names are there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from suder_bench import registry, suites
from suder_bench.cli import main

TEXT = (Path(__file__).parents[1] / "docs/reasoning.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^```sh\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)[0].splitlines()]
NAMES = ("t2i-reasonbench", "wise-verified", "wise-legacy", "geneval2")


@pytest.mark.slow
def test_its_commands_run_and_have_the_metrics_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    metrics = set[str]()
    for program, *command in COMMANDS:
        assert (program, main([*command, "--device", "cpu", "--limit", "6", "--repeats", "1"])) == ("suder-bench", 0)
    for file in tmp_path.glob("runs/*/summary.json"):
        for entry in json.loads(file.read_text())["benchmarks"].values():
            metrics |= entry["metrics"].keys()
    named = re.findall(r"^\| ((?:`[^`]+`(?:, | to )?)+) \| [^|]+ \|$", TEXT, flags=re.MULTILINE)
    wanted = {name for cell in named for name in re.findall("`(.*?)`", cell)}
    wanted -= {"official", "fixed", "quality/...", "lower_bounds", "atoms/10"}  # the world has no ten atoms
    assert wanted - metrics <= {"position", "verb"}  # of which six prompts may hold none
    assert len(wanted) > 12
    assert any(metric.startswith("fixed/") for metric in metrics)
    assert any(metric.startswith("quality/") for metric in metrics)


def test_its_tables_are_the_benchmarks_own() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| `(\w+)`[^|]*\| [\d,]+ \| (\d) \| [^|]+ \| `([\w-]+)` \|$", TEXT, flags=re.MULTILINE)
    assert [name for name, *_ in rows] == list(NAMES)
    for name, headline, repeats, role in rows:
        benchmark = registry.load("benchmarks", name)
        assert (benchmark.headline, benchmark.repeats, benchmark.judge_roles) == (headline, int(repeats), (role,))
    assert suites.SUITES["reason"] == NAMES[:2]


def test_every_protocol_that_it_names_exists() -> None:
    protocols = {protocol for name in (*NAMES, "t2i-compbench") for protocol in registry.load("benchmarks", name).protocols}
    named = set(re.findall(r"(?:--protocol |[Pp]rotocol `)([\w-]+)", TEXT))
    assert {"srum", "rewrite", "suder-bench", "fixed"} == named <= protocols
