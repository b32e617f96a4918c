"""What the command line asks of numerical libraries on a machine that others use too."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASK = "import os; from suder_bench.cli import main; main(['list', 'suites']); print(os.environ['OMP_WAIT_POLICY'])"


@pytest.mark.parametrize(("said", "heeded"), [(None, "PASSIVE"), ("active", "active")])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(said: str | None, heeded: str) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env=plain | ({} if said is None else {"OMP_WAIT_POLICY": said}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.splitlines()[-1] == heeded
