"""The README tells the truth: its commands run, its links and folders exist, and CI runs its install lines."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mirror import Mirror, serving
from mirror import path as mirrored

import suder_bench
from suder_bench import registry, suites
from suder_bench.data.catalogue import catalogue

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.strip()
    for block in re.findall(r"^```sh\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip() and not line.startswith("#")
]
INSTALLS = [command for command in COMMANDS if command.startswith("pip install")]
LIMIT = "4"
SHORT = ("global_batch_size=2", "trainer.per_device_train_batch_size=2", "trainer.max_steps=2", "trainer.save_steps=2")


@pytest.mark.skipif("SUDER_BENCH_INSTALLED" not in os.environ, reason="only CI insists on an installed copy")
def test_the_installed_package_is_tested_and_not_this_folder():
    assert REPOSITORY not in Path(suder_bench.__file__).parents


def test_the_first_two_commands_install_and_do_everything():
    assert COMMANDS[:2] == INSTALLS
    assert INSTALLS[0] == "pip install -c constraints.txt . && suder-bench run --model tiny-janus --suite gen"


@pytest.mark.parametrize("what", ["suder-bench", "pytest"])
def test_ci_reads_both_commands_from_the_readme(what):
    ci = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    [pattern] = re.findall(rf"grep -E '(\^pip install [^']*{what})' README.md", ci)
    assert len(re.findall(pattern, README, flags=re.MULTILINE)) == 1


def test_constraints_pin_every_version_and_name_no_place():
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in pins)
    names = {line.partition("==")[0] for line in pins}
    assert {"torch", "transformers", "numpy", "scipy", "pillow", "pyyaml", "safetensors", "pytest", "mypy", "ruff"} <= names


def test_links_and_folders_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    folders = re.findall(r"^\| `(\w+/)` \|", README, flags=re.MULTILINE)
    assert len(folders) == 5
    assert [name for name in links + folders if not (REPOSITORY / name).exists()] == []


def test_the_table_names_every_benchmark_of_every_suite_and_its_headline():
    rows = re.findall(r"^\| `(gen|und)` \| `([\w-]+)` \|[^|]*\| `([\w/]+)`", README, flags=re.MULTILINE)
    shipped = [(suite, name) for suite in ("gen", "und") for name in suites.SUITES[suite]]
    assert rows == [(suite, name, registry.load("benchmarks", name).headline) for suite, name in shipped]


@pytest.fixture
def mirror():
    """Where the README's official files are fetched from; None unless SUDER_BENCH_DATA holds all that come unnamed."""
    data = Path(os.environ.get("SUDER_BENCH_DATA", "/nonexistent"))
    files = [file for file in catalogue() if file.free]
    if any(file.state(data) != "present" for file in files):
        yield None
        return
    with serving(Mirror({mirrored(file): file.place(data).read_bytes() for file in files})) as mirror:
        yield mirror


@pytest.mark.slow
def test_every_command_runs(tmp_path, mirror):
    """In order, in one folder, as the README gives them; runs are cut short by `--limit`, training by its settings.

    Commands on official data need SUDER_BENCH_DATA.
    """
    _, finder = registry.CHECKPOINTS["tiny-janus"]
    (tmp_path / "my-checkpoint").symlink_to(registry.resolve(finder)("tiny-janus"))
    environment = {"OMP_NUM_THREADS": "2", **os.environ, "SUDER_BENCH_CACHE": str(tmp_path / "cache")}
    if mirror is not None:
        environment |= {"SUDER_BENCH_MIRROR": mirror.address, "no_proxy": "127.0.0.1"}
    for command in [INSTALLS[0].partition(" && ")[2], *COMMANDS[2:]]:
        if mirror is None and re.search(r"data (fetch|verify)|--data official", command):
            continue
        _made_elsewhere(tmp_path)
        if command.startswith(("suder-bench view", "suder-bench serve")):
            _looked_at(_argv(command), tmp_path, environment)
            continue
        done = subprocess.run(_argv(command), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    summary = json.loads((tmp_path / "runs" / "tiny-janus-gen" / "summary.json").read_text())
    assert set(summary["benchmarks"]) == set(suites.SUITES["gen"])


def _argv(command: str) -> list[str]:
    program, *arguments = shlex.split(command)
    assert program == "suder-bench", command
    limited = ["--limit", LIMIT] if arguments[0] in ("run", "track", "reward") and "--limit" not in arguments else []
    shortened = [part for setting in SHORT for part in ("--set", setting)] if arguments[0] == "train" else []
    limited += ["--dry-run"] if arguments[0] == "reproduce" and "--dry-run" not in arguments else []  # it takes over an hour
    call = "import sys; from suder_bench.cli import main; sys.exit(main())"
    return [sys.executable, "-c", call, *arguments, *limited, *shortened]


def _looked_at(argv: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Wait until pages or judges are served, and end that as a reader does."""
    quietly = ["--no-browser"] if "view" in argv else ["--port", "0"]
    with subprocess.Popen([*argv, *quietly], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
        finally:
            process.kill()


def _made_elsewhere(folder: Path) -> None:
    """What the README takes for given, as soon as there is something to make it from."""
    pictures, answers = folder / "my-pictures", folder / "my-answers.jsonl"
    trained, shown = folder / "runs" / "t" / "checkpoint-2", folder / "runs" / "t" / "checkpoint-40"
    if trained.is_dir() and not shown.exists():
        trained.rename(shown)  # what the whole training would have saved
    if not pictures.exists() and (folder / "runs" / "first" / "images" / "geneval").is_dir():
        pictures.symlink_to(folder / "runs" / "first" / "images" / "geneval")
    if not answers.exists() and (folder / "my-data" / "pope").is_dir():
        questions = (folder / "my-data" / "pope" / "coco_pope_random.json").read_text(encoding="utf-8").splitlines()
        rows = [{"question": json.loads(line)["text"], "answer": "yes"} for line in questions]
        answers.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
