"""A torchvision that is installed and does not work changes nothing: transformers is not told of it, and the doctor is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from suder_bench.imports import torchvision_cure

CALL = "import sys; from suder_bench.cli import main; sys.exit(main())"
TROUBLE = "operator torchvision::nms does not exist"

Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """start(code, *argv): a Python whose torchvision is of another build, as PyPI's is beside a torch for the processor."""
    package = tmp_path / "site" / "torchvision"
    package.mkdir(parents=True)
    (package / "extension.py").touch()
    (package / "__init__.py").write_text(f"from torchvision import extension\nraise RuntimeError('{TROUBLE}')\n")
    paths = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "SUDER_BENCH_CACHE": str(tmp_path / "cache")}

    def start(code: str, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *argv]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    return start


def test_a_model_is_run_beside_a_broken_torchvision(start, tmp_path):
    done = start(CALL, "run", "--model", "tiny-janus", "--benchmark", "geneval", "--limit", "1", "--device", "cpu", "--out", "r")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r" / "summary.json").is_file()


@pytest.mark.parametrize("module", ["training.trainer", "evaluators.judges.mmdet_weights", "models.janus"])
def test_it_is_set_aside_whoever_imports_transformers_first(start, module):
    code = f"import sys, suder_bench.{module}; print([name for name in sys.modules if name.startswith('torchvision.')])"
    done = start(f"{code}; print(sys.modules['torchvision'])")
    assert done.stdout.split() == ["[]", "None"], done.stderr


def test_transformers_of_a_user_s_own_is_spared_too(start):
    code = "import suder_bench\nfrom transformers import JanusForConditionalGeneration, JanusImageProcessor\nprint('read')"
    assert start(code).stdout == "read\n"


@pytest.mark.skipif("+" not in torch.__version__, reason="this torch does not say for which device it was built")
def test_one_of_torch_s_own_build_is_not_imported_before_it_is_needed(start, tmp_path):
    """Nor is torch, which takes seconds: transformers alone does not need it."""
    release, _, build = torch.__version__.partition("+")
    version = f"__version__ = '0.{int(release.split('.')[1]) + 15}.0+{build}'"
    (tmp_path / "site" / "torchvision" / "version.py").write_text(version)
    done = start("import sys, suder_bench, transformers; print('torchvision' in sys.modules, 'torch' in sys.modules)")
    assert done.stdout == "False False\n", done.stderr


@pytest.mark.parametrize("version", ["0.28.0+cu999", "0.1.0+cpu", "0.28.0", "unknown"])
def test_one_of_another_build_is_tried(start, tmp_path, version):
    (tmp_path / "site" / "torchvision" / "version.py").write_text(f"__version__ = '{version}'")
    assert start("import sys, suder_bench, transformers; print(sys.modules['torchvision'])").stdout == "None\n"


def test_a_judge_that_needs_it_says_how_to_get_the_right_one(start, tmp_path):
    (tmp_path / "site" / "open_clip.py").write_text("import torchvision\n")
    code = "import suder_bench.evaluators.judges.open_clip_towers as towers; towers.load('color', device='cpu')"
    told = start(code).stderr.splitlines()[-1]
    assert told.endswith(
        f"JudgeError: judge color: open-clip-torch needs torchvision, which cannot be imported ({TROUBLE}); run:"
        f" {torchvision_cure()}, or use --judge color=official"
    )


def test_the_doctor_finds_it_and_the_world_works(start):
    code = "import json; from suder_bench.cli import doctor; print(json.dumps([vars(one) for one in doctor.machine()]))"
    findings = {one["name"]: one for one in json.loads(start(code).stdout)}
    assert findings["torchvision"] == {
        "group": "machine",
        "name": "torchvision",
        "state": "broken",
        "says": f"cannot be imported, and counts as not installed: {TROUBLE}",
        "fix": "pip uninstall torchvision",
        "needed": False,
    }


@pytest.mark.parametrize(
    ("version", "command"),
    [
        ("2.13.0+cpu", "'torchvision==0.28.*' --index-url https://download.pytorch.org/whl/cpu"),
        ("2.13.0+cu130", "'torchvision==0.28.*' --index-url https://download.pytorch.org/whl/cu130"),
        ("2.6.1", "'torchvision==0.21.*'"),
    ],
)
def test_the_cure_is_the_build_of_the_torch_that_is_here(monkeypatch, version, command):
    monkeypatch.setattr(torch, "__version__", version)
    assert torchvision_cure() == f"pip install --force-reinstall --no-deps {command}"
