"""A vision-language model in this process as a judge: what it is asked, and what it says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.vlm.tiny_vlm import WRITERS
from PIL import Image

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges.protocols import Talk
from suder_bench.evaluators.judges.vlm import VlmJudge, load
from suder_bench.models.vlm.model import VlmModel
from suder_bench.runs import judges

RED, BLUE = Image.new("RGB", (42, 42), "red"), Image.new("RGB", (42, 42), "blue")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS["qwen2_5_vl"](tmp_path_factory.mktemp("qwen"))


def test_it_is_chosen_on_the_command_line_and_known_by_its_weights(folder: Path) -> None:
    chosen = judges.choose(["mllm"], {"mllm": f"vlm:{folder}"}, world=False)
    panel = judges.load(chosen, device="cpu", dtype="float32", offline=True)
    identity = panel.identity(["mllm"])["mllm"]
    assert (identity["backend"], identity["exact"]) == (str(folder), False)
    assert identity["fingerprint"] == VlmModel.load(str(folder)).fingerprint
    assert not panel.paid(["mllm"])
    with pytest.raises(JudgeError, match="fails its known answers"):  # it is random
        judges.ask(panel, chosen, ["mllm"])


@pytest.mark.parametrize(("source", "told"), [(None, "no checkpoint; give --judge mllm=vlm:CHECKPOINT"), ("/nowhere", "nowhere")])
def test_without_a_checkpoint_it_is_missing(source: str | None, told: str) -> None:
    with pytest.raises(JudgeError, match="judge mllm: ") as caught:
        load("mllm", device="cpu", offline=True, source=source)
    assert told in str(caught.value)


def test_it_replies_and_says_how_likely_first_tokens_are(folder: Path) -> None:
    judge = load("mllm", device="cpu", dtype="float32", source=str(folder))
    assert isinstance(judge, VlmJudge)
    talks = [Talk(RED, ("Describe it.",)), Talk(BLUE, ("Describe it.", "Blue.", "Sure?"), system="You judge.")]
    assert judge.reply(talks, max_tokens=3) == [judge.reply([talk], max_tokens=3)[0] for talk in talks]
    [[yes, other]] = judge.first_tokens([RED], ["Is it red?"], [["yes", "no"]])
    assert 0 < yes + other < 1
    assert judge.whole_vocabulary
    same, again, no = judge.shared(["yes", "yes", "no"])
    assert same == again != no
    assert load("llm", device="cpu", dtype="float32", source=str(folder)).mark([]) == []
