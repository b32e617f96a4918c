"""SRUM's judge: reading scores out of replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suder_bench.evaluators.t2i_compbench.mllm import judge_by_mllm, parse_score


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        pytest.param('```json\n{"score": 85, "explanation": "good"}\n```', 85, id="21-fenced"),
        pytest.param('```json {"score": 85, "explanation": "…"}```', 85, id="21-fenced-on-one-line"),
        pytest.param("It looks fine to me.", -1, id="21-no-score"),
        pytest.param('{"explanation": "first {brace}", "score": 12}', 12, id="nested-braces"),
        pytest.param('{"score": "40", "explanation": "quoted"}', 40, id="quoted"),
        pytest.param('{"score": 40, "explanation": "unfinished', 40, id="cut-off"),
        pytest.param('{"score": true}', -1, id="not-a-number"),
        pytest.param('{"note": 1} then {"score": 7}', 7, id="second-object"),
        pytest.param("", -1, id="empty"),
        pytest.param('{"explanation": "low score: 2 objects", "score": "60"}', 60, id="a-score-in-words-before"),
        pytest.param('"explanation":"my score: 3 of 5", {"score":80', 80, id="a-score-in-words-of-a-cut-off-reply"),
        pytest.param("score: 85", -1, id="without-quotes"),
        pytest.param('{"score": -5}', -1, id="negative"),
        pytest.param('{"score": 1' + 400 * "0" + "}", -1, id="400-digits"),
        pytest.param('{"score": 1' + 5000 * "0" + "}", -1, id="5000-digits"),
        pytest.param('{"score": ' + 20000 * "[" + '}, "score": 7', 7, id="deep"),
    ],
)
def test_parse_score(reply, score):
    assert parse_score(reply) == score


@given(st.text())
def test_any_text_can_be_read(reply):
    assert parse_score(reply) >= -1


def test_a_reply_without_a_score_lowers_the_mean():
    class Rater:
        backend, exact, fingerprint = "scripted", False, "0"

        def rate(self, pictures, requests):
            assert all("a {red} cat" in request for request in requests)
            return ['{"score": 85}', "no idea"]

    findings = judge_by_mllm([Image.new("RGB", (8, 8))] * 2, ["a {red} cat"] * 2, Rater())
    assert [finding.score for finding in findings] == [85, -1]
    assert findings[1].details == {"reply": "no idea"}
