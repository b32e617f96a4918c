"""Attribute binding: which questions are asked, and what their probabilities make."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suder_bench.evaluators.judges.protocols import Parse
from suder_bench.evaluators.t2i_compbench.attribute import attribute_score, judge_attributes, questions


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param(["a green bench", "a blue bowl"], ["a green bench?", "a blue bowl?"], id="1-one-a-chunk"),
        pytest.param([f"thing {i}" for i in range(9)], [f"thing {i}?" for i in range(8)], id="3-ninth-ignored"),
        pytest.param(["the left", "the left side", "top"], ["the left side?"], id="4-exact-chunks-only"),
        pytest.param([], [], id="5-no-chunk"),
        pytest.param(['The "Red" Hat (old): #1!'], ["the red hat old 1?"], id="cleaned"),
        pytest.param([" ".join(["very"] * 60) + " old"], [" ".join(["very"] * 50)], id="fifty-words"),
    ],
)
def test_questions(chunks, expected):
    assert questions(Parse((), tuple(chunks))) == expected


@pytest.mark.parametrize(
    ("probabilities", "score"),
    [
        pytest.param([0.9, 0.8], 0.72, id="1-product"),
        pytest.param([0.99999], 1.0, id="2-rounded-to-one"),
        pytest.param([], 1.0, id="5-no-question"),
        pytest.param([0.00004], 0.0, id="rounded-to-zero"),
        pytest.param([0.12346, 1], 0.1235, id="four-decimals"),
    ],
)
def test_score(probabilities, score):
    assert attribute_score(probabilities) == score


@given(st.lists(st.floats(0, 1), max_size=8))
def test_no_question_raises_the_score(probabilities):
    scores = [attribute_score(probabilities[:n]) for n in range(len(probabilities) + 1)]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= 1


def test_one_call_for_a_batch():
    class Vqa:
        backend, exact, fingerprint = "scripted", False, "0"
        calls = 0

        def p_yes(self, pictures, asked):
            self.calls += 1
            return [list(np.linspace(0.5, 1, len(own))) for own in asked]

    vqa = Vqa()
    parses = [Parse((), ("a cat", "a dog")), Parse((), ())]
    findings = judge_attributes([Image.new("RGB", (8, 8))] * 2, parses, vqa)
    assert vqa.calls == 1
    assert [finding.score for finding in findings] == [0.5, 1.0]
    assert findings[0].reason == "a cat? 0.50, a dog? 1.00"
    assert findings[0].details["questions"][0] == {"question": "a cat?", "p_yes": 0.5}
