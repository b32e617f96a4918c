"""What a judge thought is cut off its reply, whatever the model's marks for it, and noted with the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suder_bench.evaluators.answers import thoughts
from suder_bench.evaluators.hallusionbench import HallusionBench
from suder_bench.evaluators.llavabench import LlavaBench
from suder_bench.evaluators.t2i_compbench.mllm import judge_by_mllm
from suder_bench.records import Answered, Response, Sample

QUOTED = "8 7\nAssistant 2 shows its <think>\nthoughts\n</think>\n."


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("8 7\nGood.", ("", "8 7\nGood.")),
        ("<think>\nHm, 9 1.\n</think>\n\n8 7\nGood.", ("Hm, 9 1.", "8 7\nGood.")),
        (" \n<think></think>\n\n8 7", ("", "8 7")),
        ("<think>one</think>\n<think>two</think>8 7", ("one\n\ntwo", "8 7")),
        ("[THINK]Hm.[/THINK]8 7", ("Hm.", "8 7")),
        ("<thinking>Hm.</thinking> 8 7", ("Hm.", "8 7")),
        ("◁think▷Hm.◁/think▷8 7", ("Hm.", "8 7")),
        ("<seed:think>Hm.</seed:think>8 7", ("Hm.", "8 7")),
        ("Hm, 9 1.\n</think>\n\n8 7", ("Hm, 9 1.", "8 7")),  # the prompt began the thought
        ("<think>Hm, and so on", ("Hm, and so on", "")),  # cut off
        (QUOTED, ("", QUOTED)),
        ("8 7\nAssistant 2 ends with </think> alone.", ("", "8 7\nAssistant 2 ends with </think> alone.")),
        ("", ("", "")),
    ],
)  # fmt: skip
def test_a_reply_is_taken_apart(reply: str, expected: tuple[str, str]) -> None:
    assert thoughts.split(reply) == expected


WORDS = st.text(st.sampled_from("ab 87\n.<>/[]"), max_size=30)


@given(WORDS, WORDS)
def test_what_is_joined_is_taken_apart_again(thought: str, said: str) -> None:
    assert thoughts.split(thoughts.joined(thought.strip(), said.strip())) == (thought.strip(), said.strip())


@given(st.text())
def test_any_reply_can_be_taken_apart(reply: str) -> None:
    thought, said = thoughts.split(reply)
    assert reply.rstrip().endswith(said.rstrip())
    assert thought or said == reply or reply.lstrip().startswith(tuple(begin for begin, _ in thoughts.BLOCKS)) or not said.strip()


class Reasoner:
    """Thinks the contrary of what it says."""

    def review(self, system: str, prompts: list[str]) -> list[str]:
        return ["<think>1 9</think>\n\n8 7\nGood."] * len(prompts)

    def mark(self, prompts: list[str]) -> list[str]:
        return ["<think>incorrect?</think>correct"] * len(prompts)

    def rate(self, pictures: list[Image.Image], requests: list[str]) -> list[str]:
        return ['<think>{"score": 1}</think>{"score": 85}'] * len(requests)


def answered(truth: dict[str, object]) -> list[Answered]:
    sample = Sample("1", "1", "?", truth=truth)
    return [Answered(sample, Response("any", "1", repeat=0, seed=0, digest="d", text="It is red."))]


def test_llavabench_reads_the_scores_after_the_thought(tmp_path: Path) -> None:
    truth = {"context": "c", "question": "q", "reference": "r", "role": "Assistant", "rule": "rule", "system": "s"}
    [verdict] = LlavaBench(tmp_path).verdicts(answered(truth), {"llm": Reasoner()})
    assert verdict.scores == {"reference": 8.0, "model": 7.0}
    assert verdict.details == {"review": "8 7\nGood.", "thinking": "1 9"}
    assert "1 9" not in verdict.reason


def test_hallusionbench_reads_the_mark_after_the_thought(tmp_path: Path) -> None:
    truth = {"question": "q", "gt_answer_details": "r", "category": "VD", "figure_id": "1", "request": "{question}{answer}"}
    [verdict] = HallusionBench(tmp_path, "official-llm").verdicts(answered(truth), {"llm": Reasoner()})
    assert verdict.correct
    assert verdict.details == {"heard": "judged 'correct'", "thinking": "incorrect?"}


def test_t2i_compbench_reads_the_score_after_the_thought() -> None:
    [finding] = judge_by_mllm([Image.new("RGB", (4, 4))], ["a cat"], Reasoner())  # type: ignore[arg-type]
    assert (finding.score, finding.details) == (85.0, {"reply": '{"score": 85}', "thinking": '{"score": 1}'})
