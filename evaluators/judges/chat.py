"""What a judge replied, as one text with its thought in front."""

from __future__ import annotations

from suder_bench.evaluators.answers import thoughts
from suder_bench.remote.chat import NoReplyError, message, whole_letters


def said(body: bytes) -> str:
    """The text of the first choice, with what the model thought as a block in front of it (`thoughts.split`).

    Raises `NoReplyError`; blanks, and a thought that never ends, are no text.
    """
    found = message(body)
    if found.text is not None and thoughts.split(found.text)[1].strip():
        return whole_letters(thoughts.joined(found.thought.replace(thoughts.BLOCKS[0][1], ""), found.text))
    held = "a thought without an end" if found.text and found.text.strip() else repr(found.text)
    reason = f"content: {held}" if found.refusal is None else f"refusal: {found.refusal}"
    raise NoReplyError(reason, whole=True, cut_off=found.finish == "length")
