"""docs/protocols.md tells the truth: its commands run, and the metrics, headlines and protocols that it names are there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.data.styles import STYLES

TEXT = (Path(__file__).parents[1] / "docs/protocols.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
NAMED = {"POPE": "pope", "HallusionBench": "hallusionbench", "LLaVA-Bench": "llavabench", "MMBench": "mmbench"}
NAMED |= {"SEED-Bench": "seedbench"}


def table(heading: str) -> list[list[str]]:
    """The cells below a heading of a table, whose first column may be empty where it is that of the row above."""
    rows = [line.strip("| ").split(" | ") for line in TEXT.split(heading, 1)[1].split("\n\n")[0].splitlines()[2:]]
    return [[cell.strip("| ") for cell in row] for row in rows]


@pytest.mark.slow
def test_its_commands_run_and_have_the_metrics_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line) for block in BLOCKS for line in block.splitlines()]
    assert len(commands) == 5
    for program, *command in commands:
        assert (program, main(command)) == ("suder-bench", 0)
    metrics: dict[str, set[str]] = {name: set() for name in NAMED.values()}
    for file in tmp_path.glob("runs/*/summary.json"):
        for name, entry in json.loads(file.read_text())["benchmarks"].items():
            metrics[name] |= entry["metrics"].keys()
    for name, headline, *_ in table("| benchmark | headline |"):
        assert re.findall("`(.*?)`", headline)[0] in metrics[NAMED[name]]
    benchmark = ""
    for line in TEXT.split("| benchmark | metrics |", 1)[1].split("\n\n")[0].splitlines()[2:]:
        first, cell = (part.strip() for part in line.strip("|").split("|")[:2])
        benchmark = first.strip("`") or benchmark
        for prefix in re.findall("`(.*?)`", cell):
            if prefix != "official-llm/":  # which needs the authors' script, and is asked in our words of the world
                assert any(metric.startswith(prefix) for metric in metrics[benchmark]), (benchmark, prefix)


def test_its_headlines_are_the_benchmarks_own() -> None:
    rows = {NAMED[name]: re.findall("`(.*?)`", headline)[0] for name, headline, *_ in table("| benchmark | headline |")}
    assert rows == {name: registry.load("benchmarks", name).headline for name in NAMED.values()}


def test_every_protocol_and_style_that_it_names_exists() -> None:
    protocols = {protocol for name in NAMED.values() for protocol in registry.load("benchmarks", name).protocols}
    assert set(re.findall(r"--protocol ([\w-]+)", TEXT)) <= protocols
    assert {"suder-bench-llm", "dev-en-v11-llm", "official-llm", "likelihood"} <= protocols
    assert set(re.findall(r"--prompt-style ([a-z-]+)", TEXT)) <= {style for styles in STYLES.values() for style in styles}
