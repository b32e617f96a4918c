"""log p(text | picture) of a model behind an address: by /v1/loglikelihood, or by the log-probabilities of vLLM's prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from suder_bench.data.prompts import CAPTION_REQUEST
from suder_bench.errors import UserError
from suder_bench.models.openai import replies
from suder_bench.remote.client import Request

if TYPE_CHECKING:
    from suder_bench.models.openai.asking import Asking


def by_endpoint(model: Asking, images: Sequence[Image.Image], texts: Sequence[str]) -> list[torch.Tensor]:
    """One item a request. Where the model only estimates, all share the noise of seed 0, so that texts compare."""
    seed = {"seed": 0} if model.told.takes("loglikelihood", "seed") else {}
    requests = [
        model.request("/loglikelihood", {"items": [_item(image, text)], **seed}, {}, 0)
        for image, text in zip(images, texts, strict=True)
    ]
    return [_tensor(model.read(one, body, replies.per_token)) for one, body in zip(requests, model.ask(requests), strict=True)]


def by_prompt(model: Asking, images: Sequence[Image.Image], texts: Sequence[str]) -> list[torch.Tensor]:
    """The text is begun as the assistant's turn, and the server says how likely it was. Which tokens are the text's is what
    the turn has more than none, and these must decode to the text: templates strip blanks, and tokens merge at the seam.

    Raises `UserError` for a text of which that is not so.
    """
    root = dataclasses.replace(model.client, url=model.where.url.removesuffix("/v1"))
    found = []
    for image, text in zip(images, texts, strict=True):
        asked = [replies.turn([image], CAPTION_REQUEST)]
        begun = [*asked, {"role": "assistant", "content": text}]
        going_on = {"add_generation_prompt": False, "continue_final_message": True}
        bodies = [{"messages": begun, **going_on}, {"messages": asked, "add_generation_prompt": True}]
        whole, without = (_call(model, "/tokenize", body, replies.tokens, root) for body in bodies)
        tail = whole[len(without) :]
        read = _call(model, "/detokenize", {"tokens": tail}, replies.detokenized, root) if tail else ""
        if read != text:
            raise UserError(
                f"{model.client.who}: the last {len(tail)} tokens of the turn read {read[:60]!r}, not {text[:60]!r}: the chat"
                " template changes the text, or its tokens merge with what stands before them; it cannot be scored so"
            )
        scored = {"messages": begun, **going_on, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        request = model.request("/chat/completions", scored, {}, 0)
        [body] = model.ask([request])
        found.append(_tensor(model.read(request, body, lambda reply, tail=tail: replies.last_logprobs(reply, tail))))  # type: ignore[misc]
    return found


def _call(model: Asking, path: str, body: dict[str, Any], reader: Any, root: Any) -> Any:
    request = model.request(path, body, {}, 0)
    [outcome] = root.ask([Request(request.path, request.body)])
    if isinstance(outcome, UserError):
        raise outcome
    return model.read(request, outcome, reader)


def _item(image: Image.Image, text: str) -> dict[str, Any]:
    return {"context": replies.parts([image], CAPTION_REQUEST), "target": [{"type": "text", "text": text}]}


def _tensor(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).clamp(max=0)
