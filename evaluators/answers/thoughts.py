"""A judge that reasons: what it thought, which no benchmark reads, and what it said."""

from __future__ import annotations

import re

BLOCKS = (
    ("<think>", "</think>"),  # DeepSeek-R1, Qwen3
    ("<thinking>", "</thinking>"),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("◁think▷", "◁/think▷"),  # Kimi-VL
)
"""How a block of thought begins and ends in the replies of models whose server does not take it out."""

_BLANKS = re.compile(r"\s*")
_ENDS = re.compile(r"^[ \t]*(?:" + "|".join(re.escape(end) for _, end in BLOCKS) + r")[ \t]*$", re.MULTILINE)


def split(reply: str) -> tuple[str, str]:
    """(thought, said) of a reply that begins with blocks of thought; ("", reply) of any other.

    A block that does not end leaves nothing said. The chat template of some models begins the block in the prompt, so that a
    reply holds only its end, on a line of its own.
    """
    thoughts, place = [], _past_blanks(reply, 0)
    while begun := next((block for block in BLOCKS if reply.startswith(block[0], place)), None):
        start = place + len(begun[0])
        stop = reply.find(begun[1], start)
        thoughts.append(reply[start : stop if stop >= 0 else None].strip())
        place = _past_blanks(reply, stop + len(begun[1])) if stop >= 0 else len(reply)
    if thoughts:
        return "\n\n".join(filter(None, thoughts)), reply[place:]
    end = _ENDS.search(reply)
    if end is None or any(beginning in reply[: end.start()] for beginning, _ in BLOCKS):  # quoted from the answer that is judged
        return "", reply
    return reply[: end.start()].strip(), reply[end.end() :].lstrip()


def joined(thought: str, said: str) -> str:
    """The reply that `split` takes apart, for servers that send the two apart."""
    return f"{BLOCKS[0][0]}{thought}{BLOCKS[0][1]}{said}" if thought else said


def noted(thought: str) -> dict[str, str]:
    """What a verdict's details say of a thought: nothing where there was none."""
    return {"thinking": thought} if thought else {}


def _past_blanks(reply: str, place: int) -> int:
    blanks = _BLANKS.match(reply, place)
    return blanks.end() if blanks else place
