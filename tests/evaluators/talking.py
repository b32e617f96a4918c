"""A scripted judge of pictures, and pictures to show it: what the tests of benchmarks that ask language models share."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from suder_bench.evaluators.judges.protocols import Talk
from suder_bench.records import Answered, Response, Sample, Verdict


class Talker:
    """Says what `say` makes of a conversation's last turn; keeps all conversations, and the tokens that were allowed."""

    backend, exact, fingerprint = "scripted", False, "0"

    def __init__(self, say: Callable[[str], str]) -> None:
        self.say, self.heard, self.allowed = say, list[Talk](), set[int]()

    def reply(self, talks: Sequence[Talk], *, max_tokens: int) -> list[str]:
        self.heard += talks
        self.allowed.add(max_tokens)
        return [self.say(talk.turns[-1]) for talk in talks]


def shown(samples: Iterable[Sample], picture: Image.Image | None = None) -> list[Answered]:
    """A response to each sample: the picture, or a red one."""
    encoded = io.BytesIO()
    (picture or Image.new("RGB", (8, 8), "red")).save(encoded, "PNG")
    return [Answered(one, Response("b", one.id, 0, 0, one.id, image="a"), encoded.getvalue()) for one in samples]


def judged(benchmark: Any, samples: Sequence[Sample], **judges: Any) -> list[tuple[Sample, Verdict]]:
    """The rows that `statistics` takes."""
    verdicts = benchmark.verdicts(shown(samples), {role.replace("_", "-"): judge for role, judge in judges.items()})
    return list(zip(samples, verdicts, strict=True))


def rescored(row: tuple[Sample, Verdict], **scores: float) -> tuple[Sample, Verdict]:
    sample, verdict = row
    return sample, replace(verdict, scores={**verdict.scores, **scores})
