"""A training that is rewarded by judges behind an address."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judge_server import Answer, Asked, serving
from PIL import Image
from small_trainings import Killed, Train, die_at, rows

from suder_bench.training.rewards import RewardSum


class Judges:
    """Red minus the mean of green and blue, as `fake_rewards.Red`; a prompt with a hole is unknown."""

    fingerprint = "first"

    def __call__(self, asked: Asked, before: int) -> Answer:
        if asked.method == "GET":
            return Answer(body=json.dumps({"benchmarks": [{"name": "red", "fingerprint": self.fingerprint}]}).encode())
        found = [self.row(item) for item in asked.body["items"]]
        return Answer(body=json.dumps({"fingerprint": self.fingerprint, "results": found}).encode())

    def row(self, item: dict[str, Any]) -> dict[str, Any]:
        if "hole" in item["prompt"]:
            return {"error": {"code": "unknown_prompt", "message": "it has a hole"}}
        if "picture" not in item:
            return {"sample": "0"}
        seen = Image.open(io.BytesIO(base64.b64decode(item["picture"])))
        mean = np.asarray(seen, dtype=float).mean(axis=(0, 1)) / 255
        return {"score": float(mean[0] - mean[1:].mean())}


@pytest.fixture
def judges(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Judges]]:
    monkeypatch.delenv("SUDER_BENCH_TOKEN", raising=False)
    judges = Judges()
    with serving(judges) as server:
        yield f"remote:{server.url.removesuffix('/v1')}", judges


def gen(*names: str) -> str:
    return f"reward.gen={json.dumps(dict.fromkeys(names, 1))}"


def test_its_numbers_are_those_of_the_same_reward_at_hand(judges: tuple[str, Judges], train: Train) -> None:
    name, _ = judges
    assert train("near", gen("red"), "trainer.max_steps=2") == 0
    assert train("far", gen(name), "trainer.max_steps=2") == 0
    near, far = rows("near"), rows("far")
    for number in ("gen/reward", "gen/reward_best", "gen/loss"):
        assert [row[number] for row in near] == pytest.approx([row[number] for row in far])
    told = json.loads(Path("far/judges.json").read_text())
    assert (told[name]["name"], told[name]["fingerprint"]) == ("red", "first")
    assert not Path("near/judges.json").exists()


def test_it_goes_on_with_the_same_judges_only(
    judges: tuple[str, Judges], train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    name, served = judges
    with pytest.raises(Killed), die_at(2):
        train("run", gen(name), "trainer.max_steps=3", "trainer.save_steps=1")
    served.fingerprint = "second"
    capsys.readouterr()
    assert train("run", gen(name), "trainer.max_steps=3", "trainer.save_steps=1", resume=True) == 2
    assert f"run was rewarded by {name} with the fingerprint first, which is second now" in capsys.readouterr().err
    served.fingerprint = "first"
    assert train("run", gen(name), "trainer.max_steps=3", "trainer.save_steps=1", resume=True) == 0
    assert [row["step"] for row in rows("run")] == [1, 2, 3]


def test_the_judges_of_both_tasks_are_written_down(
    judges: tuple[str, Judges], train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = RewardSum.told
    who = {"mine": {"fingerprint": "second"}}
    monkeypatch.setattr(RewardSum, "told", lambda self: told(self) or who)  # of captions nobody at an address judges yet
    assert train("run", gen(judges[0]), "trainer.max_steps=1") == 0
    assert json.loads(Path("run/judges.json").read_text()).keys() == {judges[0], "mine"}


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["reward.gen={'remote:localhost:1': 1}"], "'localhost:1' is no address"),
        (["reward.und={'remote:http://localhost:1': 1}"], "cannot score captions"),
        (["data.prompts=[holes.txt]"], "cannot judge the prompt 'a hole': it has a hole"),
    ],
)
def test_mistakes_are_told_before_anything_is_drawn(
    sets: list[str], told: str, judges: tuple[str, Judges], train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("holes.txt").write_text("a red ball\na hole\n")
    assert train("run", gen(judges[0]), *sets) == 2
    assert told in capsys.readouterr().err
    assert not Path("run/metrics.jsonl").exists()
