"""What all tests share: `fakes` on the import path and in the registry, a cache of their own, and the machine's cores."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import ENTRIES
from hypothesis import HealthCheck, settings

from suder_bench import machine, registry

MOST_WORKERS = 8
"""Each takes up to 2 GB of memory."""

# The same examples each time, on a machine of any speed: what fails here fails there.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's `&` has it so, and what the tests interrupt would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    """Tests that run side by side have a core each, and so have the processes that they start."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        for name, value in machine.ONE_THREAD.items():
            os.environ.setdefault(name, value)
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 leaves its actors next to nothing where all cores are busy


@pytest.hookimpl(optionalhook=True)  # lmms-eval's environment has no pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: one on each core that this process may use. By itself it counts cores that only others may use."""
    return min(machine.cores(), MOST_WORKERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, whole as their tests share fixtures: what is left for the end is short."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What is imported by now stays: who collects garbage between batches, as runs do, need not look through it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The fake benchmarks `drawing` and `reading`, the judges `shade/...` and the adapter `fake` have their names."""
    monkeypatch.setattr(registry, "TABLE", {group: {**names, **ENTRIES[group]} for group, names in registry.TABLE.items()})
    registry.table.cache_clear()
    yield
    registry.table.cache_clear()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the commands set it for good
    return folder


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plug-in installed by pip, as a user's site-packages would have it."""
    work = tmp_path_factory.mktemp("plugin")
    plugin = Path(__file__).parent / "plugin"
    source = shutil.copytree(plugin, work / "source", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", work / "site", source], check=True, cwd=work)
    return work / "site"


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Summaries that `fake_runs` wrote have no verdicts, and count as if these confirmed them."""
    from fake_runs import count_as_confirmed

    count_as_confirmed(monkeypatch)
