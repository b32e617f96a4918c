"""What a run folder tells of the commands that worked on it: their words, times, code, packages and machine, and no names."""

from __future__ import annotations

import io
import json
import platform
import re
import shutil
import socket
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from fakes import REFERENCE, FakeModel, settings

import suder_bench
from suder_bench.called import called
from suder_bench.runs import commands, provenance
from suder_bench.runs.execute import Run
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")


def run(out: Path, **changes: Any) -> None:
    Run(out, REFERENCE, settings(), **changes).execute(Screen(io.StringIO()), lambda: FakeModel())


def test_each_command_is_told_with_its_words_times_code_packages_and_machine(tmp_path: Path) -> None:
    home = Path.home()
    with called(["run", "--out", f"{home}/r", "--model", "openai:m@https://me:secret@here/v1?api_key=secret"]):
        run(tmp_path / "r")
    run(tmp_path / "r")
    first, second = commands.read(tmp_path / "r")
    shown = "openai:m@https://***@here/v1?api_key=***"
    assert first["words"] == ["suder-bench", "run", "--out", "~/r", "--model", shown]
    assert second["words"] is None
    assert first["began"] <= first["ended"] <= second["began"] <= second["ended"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first[name]) for name in ("began", "ended"))
    assert first["complete"] is True
    assert first["code"]["version"] == version("suder-bench")
    assert first["packages"]["torch"] == version("torch")
    assert len(first["packages"]) > 20
    assert first["host"]["system"] == platform.system()
    assert first["host"]["cores"] >= 1
    kept = b"".join(file.read_bytes() for file in (tmp_path / "r/commands").iterdir())
    assert not [name for name in ("secret", f"{home}/", f'"{socket.gethostname()}"') if name.encode() in kept]


def test_a_killed_command_has_no_end_and_an_edited_line_is_left_out(tmp_path: Path) -> None:
    commands.begin(RunFolder(tmp_path))
    commands.begin(RunFolder(tmp_path))
    commands.end(RunFolder(tmp_path), complete=False)
    killed, ended = sorted(commands.read(tmp_path), key=lambda row: "ended" in row)
    assert "ended" not in killed
    assert ended["complete"] is False
    file = tmp_path / "commands/0.jsonl"
    file.write_text(file.read_text().replace('"words": null', '"words": []', 1))
    assert len(commands.read(tmp_path)) == 1


def test_the_recipe_and_the_summary_do_not_tell_of_them(tmp_path: Path) -> None:
    """A run that goes on, or is made again, by other words and at another time, is the same run."""
    with called(["run", "--seed", "0"]):
        run(tmp_path / "one/r")
    with called(["track", "runs/t"]):
        run(tmp_path / "other/r")
    for name in ("run.json", "summary.json"):
        assert (tmp_path / "one/r" / name).read_bytes() == (tmp_path / "other/r" / name).read_bytes()


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_a_checkout_tells_its_commit_and_whether_it_was_edited(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    module = tmp_path / "package/__init__.py"
    module.parent.mkdir()
    module.write_text("")
    assert provenance._checkout(module) == (None, None)
    git("init")
    assert provenance._checkout(module) == (None, None), "a repository around it that does not track it is somebody else's"
    git("add", ".")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert provenance._checkout(module) == (commit, False)
    module.write_text("edited = True")
    assert provenance._checkout(module) == (commit, True)


def test_an_installed_copy_tells_what_its_wheel_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = suder_bench.__name__
    (tmp_path / name).mkdir()
    module = tmp_path / name / "one.py"
    module.write_text("x = 1\n")
    info = tmp_path / "suder_bench-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: suder-bench\nVersion: 9\n")

    def record(*others: str) -> tuple[str | None, bool | None]:
        lines = [f"{name}/one.py,sha256={provenance._digest(module)},6", *others]
        (info / "RECORD").write_text("\n".join(lines) + "\n")
        return provenance._wheel()

    monkeypatch.syspath_prepend(str(tmp_path))
    found, edited = record()
    assert (len(str(found)), edited) == (64, False)
    assert record(f"{name}/__pycache__/one.cpython-311.pyc,,", "../bin/suder-bench,sha256=abc,9") == (found, False)
    module.write_text("x = 2\n")
    assert provenance._wheel() == (found, True)
    assert record()[0] != found


def test_gpus_are_told_by_name_with_their_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(provenance, "_said", lambda *words: "NVIDIA H200, 570.1\nNVIDIA H200, 570.1")
    assert provenance._graphics() == (["NVIDIA H200", "NVIDIA H200"], "570.1")
    monkeypatch.setattr(provenance, "_said", lambda *words: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert provenance._graphics() == ([], None)


def test_what_a_folder_tells_is_json_alone(tmp_path: Path) -> None:
    run(tmp_path / "r")
    for line in (tmp_path / "r/commands/0.jsonl").read_text().splitlines():
        assert isinstance(json.loads(line), dict)
