"""The example of a reward function for TRL's GRPO, against judges that are served."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from service.serving import serving
from service.world_pictures import made

EXAMPLE = Path(__file__).parents[2] / "examples" / "trl_grpo_reward.py"


def test_it_gives_the_verdicts_of_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = made(tmp_path, "geneval", 14)
    records = (pictures.data / "geneval/evaluation_metadata.jsonl").read_text().splitlines()
    for sample, _, file in pictures.files:
        file.parents[1].joinpath("metadata.jsonl").write_text(records[int(sample)])
    expected = {sample: row["scores"]["correct"] for sample, row in pictures.verdicts(tmp_path / "run").items()}
    with serving("--data", "world") as served:
        command = [sys.executable, str(EXAMPLE), "--url", served.url, "--images", str(pictures.images)]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ, check=True).stdout
        rewards = dict(line.split("\t") for line in shown.splitlines())
        assert {name.partition("/")[0]: float(value) for name, value in rewards.items()} == expected
        assert set(expected.values()) == {0.0, 1.0}
        logged: dict[str, Any] = {}
        _, prompt, file = pictures.files[0]
        function = example().reward_function(example().RemoteReward(served.url))
        broken = function([prompt], [example().Image.open(file)], [{"tag": 3, "include": []}], log_extra=logged.__setitem__)
        assert broken == [None]
        assert logged["reason"][0]["code"] == "unknown_prompt"
        right = function([prompt], [example().Image.open(file)], [json.loads(records[0])], trainer_state=None)
        assert right == [expected["00000"]]


def example() -> Any:
    spec = importlib.util.spec_from_file_location("trl_grpo_reward", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
