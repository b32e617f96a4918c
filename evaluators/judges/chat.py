"""What a judge replied, as one text with its thought in front."""

from __future__ import annotations

import math

from suder_bench.evaluators.answers import thoughts
from suder_bench.remote.chat import NoReplyError, document_of, message, whole_letters


def said(body: bytes) -> str:
    """The text of the first choice, with what the model thought as a block in front of it (`thoughts.split`).

    Raises `NoReplyError`; blanks, and a thought that never ends, are no text.
    """
    found = message(body)
    if found.text is not None and thoughts.split(found.text)[1].strip():
        return whole_letters(thoughts.joined(found.thought.replace(thoughts.BLOCKS[0][1], ""), found.text))
    held = "a thought without an end" if found.text and found.text.strip() else repr(found.text)
    reason = f"content: {held}" if found.refusal is None else f"refusal: {found.refusal}"
    refused = found.refusal is not None or found.finish == "content_filter"
    raise NoReplyError(reason, whole=True, cut_off=found.finish == "length", refused=refused)


def first_tokens(body: bytes) -> dict[str, float]:
    """Probability by text of the likeliest first tokens of the first choice; tokens of one text are counted together.

    Raises `NoReplyError` for a reply that tells none.
    """
    finish = message(body).finish
    try:
        [first, *_] = document_of(body)["choices"][0]["logprobs"]["content"]
        told = [(one["token"], one["logprob"]) for one in first["top_logprobs"]]
    except (KeyError, IndexError, TypeError, ValueError):
        told = []
    if not told or not all(isinstance(token, str) and _is_logprob(logprob) for token, logprob in told):
        raise NoReplyError("no logprobs.content[0].top_logprobs", whole=True, refused=finish == "content_filter")
    found: dict[str, float] = {}
    for token, logprob in told:
        found[token] = found.get(token, 0.0) + math.exp(min(logprob, 0.0))
    return found


def tells_tokens(body: bytes) -> bool:
    """Whether `first_tokens` finds some."""
    try:
        return bool(first_tokens(body))
    except NoReplyError:
        return False


ROUNDING = 1e-3


def _is_logprob(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= ROUNDING
