"""log p(text | picture) behind an address: /v1/loglikelihood, and vLLM's prompt_logprobs, which must be those of the text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai_server import Answer, Asked, document, loaded, models, server_of
from PIL import Image

from suder_bench.data.prompts import CAPTION_REQUEST
from suder_bench.errors import UserError
from suder_bench.models.protocols import TextLikelihood

PICTURE = Image.new("RGB", (8, 8), (1, 2, 3))
SCORES = {"umm": {"tasks": ["score_text"], "estimator": {"score_text": "exact"}}}


def test_the_endpoint_s_numbers_are_taken_token_by_token() -> None:
    reply = document({"data": [{"index": 0, "sum": -3.5, "tokens": 2, "mean": -1.75, "per_token": [-1, -2.5]}]})
    with server_of({"/loglikelihood": reply}, SCORES) as server:
        model = loaded(server)
        assert isinstance(model, TextLikelihood)
        [found] = model.text_logprobs([PICTURE], ["a ball"])
        assert found.tolist() == [-1, -2.5]
        [item] = server.asked[-1].body["items"]
        assert [part["type"] for part in item["context"]] == ["image_url", "text"]
        assert item["context"][1]["text"] == CAPTION_REQUEST
        assert item["target"] == [{"type": "text", "text": "a ball"}]


@pytest.mark.parametrize("values", [[], "no", [0.5], [float("nan")], [float("-inf")], [None], [True]])
def test_what_are_no_log_probabilities_is_refused(values: Any) -> None:
    body = json.dumps({"data": [{"per_token": values}]}).encode()
    with server_of({"/loglikelihood": Answer(body=body)}, SCORES) as server, pytest.raises(UserError, match="replied with"):
        loaded(server).text_logprobs([PICTURE], ["a ball"])  # type: ignore[attr-defined]


class Vllm:
    """vLLM's three endpoints over a tokenizer of letters, with a template `<u>REQUEST</u>TEXT` and log p of -id / 1000."""

    def __init__(self, *, strips: bool = False, merges: bool = False, others: bool = False) -> None:
        self.strips, self.merges, self.others = strips, merges, others

    def ids(self, messages: list[dict[str, Any]]) -> list[int]:
        said = messages[1]["content"] if len(messages) > 1 else ""
        said = said.strip() if self.strips else said
        first = [1, 7, 7, 2]  # the turn with its picture, and what begins the assistant's
        whole = [*first, *map(ord, said)]
        return [*first[:-1], 3, *whole[6:]] if self.merges and said else whole

    def tokenize(self, asked: Asked) -> Answer:
        assert asked.path == "/tokenize"  # not below /v1
        return document({"tokens": self.ids(asked.body["messages"])})

    def detokenize(self, asked: Asked) -> Answer:
        return document({"prompt": "".join(map(chr, asked.body["tokens"]))})

    def complete(self, asked: Asked) -> Answer:
        body = asked.body
        assert (body["continue_final_message"], body["add_generation_prompt"], body["prompt_logprobs"]) == (True, False, 0)
        ids = [token + self.others for token in self.ids(body["messages"])]
        return document(
            {"choices": [], "prompt_logprobs": [None, *({str(token): {"logprob": -token / 1000}} for token in ids[1:])]}
        )

    def replies(self) -> dict[str, Any]:
        return {
            "/models": models("m", owned_by="vllm"),
            "/detokenize": self.detokenize,
            "/tokenize": self.tokenize,
            "/completions": self.complete,
        }


def test_vllm_s_prompt_logprobs_of_the_text_s_own_tokens() -> None:
    with server_of(Vllm().replies()) as server:
        first, second = loaded(server).text_logprobs([PICTURE, PICTURE], ["no", "yes"])  # type: ignore[attr-defined]
        assert first.tolist() == pytest.approx([-ord(letter) / 1000 for letter in "no"])
        assert second.tolist() == pytest.approx([-ord(letter) / 1000 for letter in "yes"])


@pytest.mark.parametrize(
    ("trap", "text", "says"),
    [
        ({"strips": True}, "yes ", "it cannot be scored so"),
        ({"merges": True}, "yes", "it cannot be scored so"),
        ({"others": True}, "yes", "other tokens than the text's"),
    ],
)
def test_tokens_that_are_not_the_text_s_are_never_scored(trap: dict[str, bool], text: str, says: str) -> None:
    with server_of(Vllm(**trap).replies()) as server, pytest.raises(UserError, match=says):
        loaded(server).text_logprobs([PICTURE], [text])  # type: ignore[attr-defined]
