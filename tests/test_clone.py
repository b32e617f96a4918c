"""A clone is whole: Python started in its root finds suder_bench/ there first, whatever is installed, with all sub-packages."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from suder_bench.imports import BESIDE, clone_of
from suder_bench.steps import Step, run_logged

REPOSITORY = Path(__file__).parents[1]
CI = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")

IMPORTS = """
import importlib, sys
for name in ("evaluators", "training", "reports", "evaluators.judges", "tests", "suder_bench", "docs"):
    try:
        print(importlib.import_module(f"suder_bench.{name}").__file__)
    except ModuleNotFoundError as error:
        print(error)
"""


def test_without_any_installation_the_sub_packages_are_found_and_nothing_else_that_lies_there():
    bare = [sys.executable, "-S", "-E", "-c", IMPORTS]  # without site-packages
    done = subprocess.run(bare, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        *(f"{REPOSITORY}/{name}/__init__.py" for name in (*BESIDE, "evaluators/judges")),
        *(f"No module named 'suder_bench.{name}'" for name in ("tests", "suder_bench", "docs")),
    ]


def folders(root: Path, *names: str, project: str | None = "suder-bench") -> Path:
    """The package's folder in `root`, with packages of these names beside it, and the project file of a name."""
    for name in ("suder_bench", *names):
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").touch()
    if project is not None:
        (root / "pyproject.toml").write_text(f'[project]\nname = "{project}"\n')
    return root / "suder_bench"


def test_a_clone_is_known_by_its_folders_and_its_project(tmp_path):
    assert clone_of(folders(tmp_path / "clone", *BESIDE)) == tmp_path / "clone"
    assert clone_of(folders(tmp_path / "installed", *(f"suder_bench/{name}" for name in BESIDE))) is None
    assert clone_of(folders(tmp_path / "site-packages", *BESIDE, project=None)) is None
    assert clone_of(folders(tmp_path / "vendored", *BESIDE, project="another")) is None
    assert clone_of(folders(tmp_path / "partial", *BESIDE[:2])) is None
    assert clone_of(folders(tmp_path / "both", *BESIDE, "suder_bench/training")) is None


def test_ci_starts_python_as_users_do():
    assert "PYTHONSAFEPATH=1" not in CI


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which everything that could be imported by mistake fails."""
    for name in ("suder_bench", *BESIDE, "tests", "accelerate"):
        (tmp_path / "here" / name).mkdir(parents=True)
        (tmp_path / "here" / name / "__init__.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_step_does_not_import_from_where_it_starts(strange, processes, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    log = strange / "log"
    step = Step("recipe", ("train", "--config", "tiny", "--set", "num_generations=3", "--dry-run"), strange, processes=processes)
    assert asyncio.run(run_logged(step.command(), log)) == 0, log.read_text()
    assert "num_generations: 3" in log.read_text()


TRAIN = ["-m", "suder_bench", "train", "--config", "tiny", "--dry-run"]

Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """start(*argv): a finished Python in the clone's root, where an ordinary, not editable, installation is to be had.

    The base interpreter with paths reads no `.pth` files, by which an editable installation finds its sub-packages.
    """
    site, home = (tmp_path_factory.mktemp(name) for name in ("site", "home"))
    shutil.copytree(REPOSITORY / "suder_bench", site / "suder_bench")
    for name in BESIDE:
        shutil.copytree(REPOSITORY / name, site / "suder_bench" / name)
    paths = [str(site), *(path for path in sys.path if path.endswith("site-packages"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "ACCELERATE_USE_CPU": "true", "HOME": str(home)}
    environment.pop("PYTHONSAFEPATH", None)
    python = Path(sys.base_prefix, "bin", f"python{sysconfig.get_python_version()}")

    def start(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([python, *argv], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)

    return start


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "shows"),
    [
        (["-m", "suder_bench", "list"], "geneval"),
        (TRAIN, "strategy: unified"),
        (["-m", "accelerate.commands.launch", *TRAIN], "strategy: unified"),
        (["-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "tests/training/test_recipe.py"], "test_recipe.py::"),
    ],
)
def test_commands_work_in_the_clone_beside_an_ordinary_installation(start, argv, shows):
    done = start(*argv)
    assert done.returncode == 0, done.stderr
    assert shows in done.stdout


@pytest.mark.slow
def test_a_script_in_the_clone_works(start):
    script = REPOSITORY / "a_script_of_a_test.py"
    try:
        script.write_text("from suder_bench.training.recipe import shipped\nprint(shipped())\n")
        done = start(script.name)
    finally:
        script.unlink()
    assert done.returncode == 0, done.stderr
    assert "'tiny'" in done.stdout


STEPS = """
import asyncio, sys
from pathlib import Path
import suder_bench
from suder_bench.steps import Step, run_logged

out = Path(sys.argv[1])
small = ("trainer.max_steps=1", "global_batch_size=1", "trainer.per_device_train_batch_size=1", "num_generations=2")
words = [word for one in small for word in ("--set", one)]
train = Step("train", ("train", "--config", "tiny", *words, "--device", "cpu", "--out", str(out / "t")), out)
track = Step("evaluate", ("track", str(out / "t"), "--benchmark", "pope", "--limit", "1", "--last", "--device", "cpu"), out)
print(suder_bench.CLONE, [asyncio.run(run_logged(step.command(), out / "log")) for step in (train, track)])
"""


@pytest.mark.slow
def test_steps_of_reproduce_work_in_the_clone(start, tmp_path):
    """The parent is what `suder-bench` imports, not the clone; its children must be too."""
    done = start("-P", "-c", STEPS, str(tmp_path))
    assert done.stdout == "None [0, 0]\n", done.stderr + (tmp_path / "log").read_text()
