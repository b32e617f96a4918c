"""What the command line asks of numerical libraries on a machine that others use too."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata

import pytest

from suder_bench.machine import use_large_pages

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


def test_a_build_for_the_cpu_need_not_be_imported_to_be_told() -> None:
    ask = "import sys; from suder_bench.machine import choose_device; print(choose_device('auto'), 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    if metadata.version("torch").endswith("+cpu"):
        assert told == ["cpu", "False"]
    else:
        import torch

        assert told == ["cuda" if torch.cuda.is_available() else "cpu", "True"]


def test_large_pages_are_asked_for_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    use_large_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    use_large_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"


FAULTS = """
import resource
import sys
from suder_bench.machine import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
for turn in range(40):
    if turn == 4:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [b"1" * (8 << 20) for _ in range(4)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is freed is kept in glibc's way")
def test_what_a_batch_has_freed_is_there_for_the_next() -> None:
    def faults(how: str) -> int:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, env=plain, capture_output=True, text=True, check=True).stdout)

    assert faults("keep") < faults("give back") / 2
