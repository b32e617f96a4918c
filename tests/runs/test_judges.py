"""The harness asks judges through the core's own protocol."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass

from suder_bench.runs.judges import Panel, SeatedElsewhere


def test_the_core_imports_no_evaluator() -> None:
    code = (
        "import sys, suder_bench.runs.execute, suder_bench.runs.elsewhere; "
        "print([name for name in sys.modules if name.startswith('suder_bench.evaluators')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@dataclass
class Knowing:
    """A judge that knows whether its weights are the benchmark's own file."""

    backend: str = "official"
    exact: bool = False
    fingerprint: str = "0123456789abcdef"
    match: str = "digest unknown"

    def check(self) -> None:
        pass


@dataclass
class Plain:
    backend: str = "world"
    exact: bool = False
    fingerprint: str = "fedcba9876543210"

    def check(self) -> None:
        pass


def test_a_run_says_the_same_of_judges_here_and_in_workers() -> None:
    here = {"detector": Knowing(), "color": Plain()}
    away = pickle.loads(pickle.dumps({role: SeatedElsewhere.of(judge) for role, judge in here.items()}))
    told = Panel(here, {}).identity(here)
    assert Panel(away, {}).identity(away) == told
    assert told["detector"]["weights"] == "digest unknown"
    assert "weights" not in told["color"]
