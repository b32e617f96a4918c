"""The newer benchmarks' verdicts as rewards: on the world, and not where a judge's reply cannot be read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.evaluators.wise import WiseVerified
from suder_bench.records import Verdict
from suder_bench.rewards.evaluator import EvaluatorReward, number_of
from suder_bench.world import tasks

RED = Image.new("RGB", (64, 64), "red")


@pytest.mark.parametrize("name", ["geneval2", "t2i-reasonbench", "wise-verified", "wise-legacy"])
def test_they_can_be_rewards(name: str, tmp_path: Path) -> None:
    tasks.write(tmp_path, size="quick", benchmarks=[name])
    reward = EvaluatorReward.load(
        name, world=True, data=tmp_path, backends={}, batch_size=4, offline=True, say=print, device="cpu"
    )
    prompts = list(reward._asked)[:2]
    assert all(0 <= number <= 1 for number in reward.score_images(prompts, [RED] * 2))


def test_a_reply_that_cannot_be_read_is_no_number(tmp_path: Path) -> None:
    assert number_of(Verdict("b", "1", 0, "", {"score": math.nan, "unparsed": 1.0}, None, "")) is None
    tasks.write(tmp_path, size="quick", benchmarks=["wise-verified"])

    class Unclear:
        def reply(self, talks, *, max_tokens):  # type: ignore[no-untyped-def]
            return ["Hard to say."] * len(talks)

    bench = WiseVerified(tmp_path)
    reward = EvaluatorReward(bench, {"mllm": Unclear()})
    with pytest.raises(UserError, match="a verdict holds score, unparsed, none of score, correct"):
        reward.score_images([bench.samples()[0].prompt], [RED])
