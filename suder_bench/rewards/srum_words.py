"""SRUM's judgement in free text (arXiv 2510.12784, its released code at a53ba18; method notes, section 3): what is asked, and how
the replies are read.

The requests are ours, and ask for the same: numbered boxes in pixels of the whole picture, each with its main object and one
number in [-1, 1] of relevance and quality; and of the whole the arrangement alone. The lines that a reply must have are theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from suder_bench.models.protocols import ImageToText, TextSampling
from suder_bench.rewards.regions import Box

GLOBAL_TOKENS, LOCAL_TOKENS = 1024, 4096
"""The longest replies."""

THOUGHT = "</think>"
"""Ends what a model thinks aloud; the reply is what follows the last one."""

_SCORE = re.compile(r"Score:\s*(-?\d+\.?\d*)", re.IGNORECASE)
_REGION = re.compile(r"Region ID:\s*(\d{1,9})(?!\d)", re.IGNORECASE)
_OBJECT = re.compile(r"Identified Object:\s*(.*)", re.IGNORECASE)

STRICT = "Be strict: 1 is for what leaves nothing to wish for."


def layout_request(prompt: str) -> str:
    """Of the whole picture: arrangement and structure, and nothing else."""
    return (
        f'The image was made for the prompt "{prompt.strip()}". Judge only its layout: are things arranged, and is the scene'
        " built, as the prompt's words about space want it? A prompt that wants nothing of space gets a score near 0."
        f" Give one number from -1 (contradicts them) to 1 (exactly so). {STRICT}\n"
        "Write two lines:\nScore: NUMBER\nReason: one sentence"
    )


def regions_request(prompt: str, boxes: Sequence[Box]) -> str:
    """Of the boxes, which are numbered from 1."""
    listed = "\n".join(f"{i}: {list(box)}" for i, box in enumerate(boxes, 1))
    return (
        f'The image was made for the prompt "{prompt.strip()}". Regions of it, by number, as [left, top, right, bottom] in'
        f" pixels:\n{listed}\nName the main object of each region, and give it one number for how well it fits the prompt and how"
        " well it is made: 1 exact and without a flaw, 0.5 to 0.9 good, -0.4 to 0.4 neutral or harmless background, -0.9 to -0.5"
        f" out of place or badly made, -1 contradicts the prompt. {STRICT}\n"
        "Write four lines for each region, and an empty line behind it:\n"
        "Region ID: NUMBER\nIdentified Object: NAME\nScore: NUMBER\nReason: one sentence"
    )


def read_layout(reply: str) -> float | None:
    """The first score of a reply; None where there is none. Any number counts, also one outside [-1, 1]."""
    found = _SCORE.search(_said(reply))
    return float(found[1]) if found else None


def read_regions(reply: str) -> Mapping[int, float]:
    """{number of a region: score}. Blocks end with an empty line; one without number, object or score is left out, and the
    last of a number's blocks counts."""
    found: dict[int, float | None] = {}
    for block in _said(reply).split("\n\n"):
        number, score = _REGION.search(block), _SCORE.search(block)
        if number:
            found[int(number[1])] = float(score[1]) if score and _OBJECT.search(block) else None
    return {number: score for number, score in found.items() if score is not None}


@dataclass
class Words:
    """Asks a model in words. `counts` adds up the scores that were asked for (`scores`), those of them that no reply had
    (`unread`), and those that lay outside [-1, 1] and were cut off there (`outside`)."""

    model: ImageToText
    batch_size: int
    counts: dict[str, int] = field(default_factory=lambda: {"scores": 0, "unread": 0, "outside": 0})

    def layouts(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float | None]:
        """S of each picture; None where the reply has none. One attempt: a greedy answer is the same again."""
        replies = self._replies(pictures, [layout_request(prompt) for prompt in prompts], GLOBAL_TOKENS)
        return [self._counted(read_layout(reply)) for reply in replies]

    def regions(
        self, prompts: Sequence[str], pictures: Sequence[Image.Image], boxes: Sequence[Sequence[Box]]
    ) -> list[list[float | None]]:
        """s_b of each picture's boxes; None where the reply has none."""
        asked = [i for i, own in enumerate(boxes) if own]
        requests = [regions_request(prompts[i], boxes[i]) for i in asked]
        replies = dict(zip(asked, self._replies([pictures[i] for i in asked], requests, LOCAL_TOKENS), strict=True))
        found: list[list[float | None]] = []
        for i, own in enumerate(boxes):
            scores = read_regions(replies[i]) if i in replies else {}
            found.append([self._counted(scores.get(number)) for number in range(1, len(own) + 1)])
        return found

    def _replies(self, pictures: Sequence[Image.Image], requests: Sequence[str], longest: int) -> list[str]:
        replies: list[str] = []
        for start in range(0, len(requests), self.batch_size):
            shown, asked = pictures[start : start + self.batch_size], requests[start : start + self.batch_size]
            sampling = TextSampling(temperature=0.0, max_new_tokens=longest)
            replies += self.model.answer([[one] for one in shown], asked, seeds=[0] * len(asked), sampling=sampling)
        return replies

    def _counted(self, score: float | None) -> float | None:
        self.counts["scores"] += 1
        if score is None:
            self.counts["unread"] += 1
            return None
        self.counts["outside"] += not -1 <= score <= 1
        return min(1.0, max(-1.0, score))


def _said(reply: str) -> str:
    return reply.split(THOUGHT)[-1].strip()
