"""The harness asks judges through the core's own protocol."""

from __future__ import annotations

import subprocess
import sys


def test_the_core_imports_no_evaluator() -> None:
    code = (
        "import sys, suder_bench.runs.execute, suder_bench.runs.elsewhere; "
        "print([name for name in sys.modules if name.startswith('suder_bench.evaluators')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
