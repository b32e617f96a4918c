"""The commands of docs/lmms-eval.md under "Theirs in ours" do what the page says."""

from __future__ import annotations

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from lmms_world import config, write

from suder_bench import suites
from suder_bench.cli import main
from suder_bench.runs.store import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("lmms_eval") is None, reason="needs the extra lmms, in an environment of its own"),
]

PAGE = (Path(__file__).parents[2] / "docs" / "lmms-eval.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Theirs in ours")[2].partition("\n## ")[0]
COMMANDS = [shlex.split(line)[1:] for block in re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL) for line in block.splitlines()]


def test_commands_on_local_data_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import DatasetDict, load_from_disk

    write(tmp_path, "pope")
    few = load_from_disk(str(tmp_path / "tasks" / "pope"))["test"].select(range(24))
    DatasetDict({"test": few}).save_to_disk(tmp_path / "few")
    (tmp_path / "my_tasks").mkdir()
    include = str(tmp_path / "tasks" / "world_pope.yaml")
    config(tmp_path / "my_tasks" / "my_pope.yaml", {"include": include, "task": "my_pope", "dataset_path": str(tmp_path / "few")})
    monkeypatch.chdir(tmp_path)
    local = [command for command in COMMANDS if "my_tasks" in command or command[0] == "compare"]
    assert [command[0] for command in local] == ["list", "run", "run", "compare", "score"]
    for command in local:
        if command[0] == "score":
            made = RunFolder(Path("runs/first")).responses("lmms:my_pope", repair=False)
            rows = [{"doc_id": int(one.sample), "filtered_resps": one.text} for one in made.values()]
            Path("samples_my_pope.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert main(command) == 0, command
    assert (tmp_path / "runs" / "second" / "summary.json").is_file()


def test_tasks_of_the_hub_are_known() -> None:
    named = [command[command.index("--suite") + 1] for command in COMMANDS if "--suite" in command and "my_tasks" not in command]
    assert [len(suites.choose(suite)[1]) for suite in named] == [2, 31, 28]
