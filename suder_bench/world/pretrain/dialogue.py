"""Pages as rows of ids: a picture with turns that each see it and themselves, but not one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase

from suder_bench.world.pretrain.curriculum import Turn

PARTS = 2
"""Batches of rows of like length that a side's rows are computed in: less is padded."""


@dataclass(frozen=True)
class Asked:
    """A turn as it stands after the picture: ids of the request, their truths, ids of the answer and its end, and how many claims
    the request makes."""

    request: list[int]
    truth: list[int]
    answer: list[int]
    claims: int

    def __len__(self) -> int:
        return len(self.request) + len(self.answer)


def ask(words: PreTrainedTokenizerBase, before: str, turn: Turn, after: str, answer: Sequence[int]) -> Asked:
    """A turn whose request stands between two texts; it makes claims on all ids that its `truths` touch."""
    read = words(before + turn.request + after, add_special_tokens=False, return_offsets_mapping=True)
    truth = [-100] * len(read["input_ids"])
    for i, (begin, end) in enumerate(read["offset_mapping"]):
        for first, last, true in turn.truths:
            if begin - len(before) < last and end - len(before) > first:
                truth[i] = int(true)
    return Asked(read["input_ids"], truth, list(answer), len(turn.truths))


@dataclass(frozen=True)
class Dialogue:
    """Ids with the turn each belongs to (0 is the picture), its position and, on answers, its label and weight.

    A yes weighs more than a word of a caption: by the root of the answer's length. `truth` is 1 or 0 on the words of a request
    that say something true or false of the picture, -100 elsewhere; `kind` is how many claims a request made, on the first
    token of its answer, and 0 elsewhere."""

    ids: list[int]
    segment: list[int]
    position: list[int]
    labels: list[int]
    weight: list[float]
    truth: list[int]
    kind: list[int]


def dialogue(prefix: Sequence[int], turns: Sequence[Asked]) -> Dialogue:
    """One picture, whose ids are the `prefix`, and turns that each go on right after it."""
    begun = len(prefix)
    ids, segment, position = list(prefix), [0] * begun, list(range(begun))
    labels, weight, truth, kind = [-100] * begun, [0.0] * begun, [-100] * begun, [0] * begun
    for number, turn in enumerate(turns, start=1):
        ids += turn.request + turn.answer
        segment += [number] * len(turn)
        position += range(begun, begun + len(turn))
        labels += [-100] * len(turn.request) + turn.answer
        weight += [0.0] * len(turn.request) + [len(turn.answer) ** -0.5] * len(turn.answer)
        truth += turn.truth + [-100] * len(turn.answer)
        kind += [0] * len(turn.request) + [turn.claims] + [0] * (len(turn.answer) - 1)
    return Dialogue(ids, segment, position, labels, weight, truth, kind)


def collate(dialogues: Sequence[Dialogue], pad: int) -> dict[str, torch.Tensor]:
    """Right-padded batch; `mask` (B, 1, S, S) tells what is seen: causal, and a turn sees the picture and itself only."""
    length = max(len(d.ids) for d in dialogues)

    def padded(rows: Sequence[Sequence[float]], value: float) -> torch.Tensor:
        return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])

    segment = padded([d.segment for d in dialogues], -1)
    own = segment[:, :, None] == segment[:, None, :]
    seen = (own | (segment[:, None, :] == 0)) & torch.ones(length, length, dtype=torch.bool).tril()
    return {
        "ids": padded([d.ids for d in dialogues], pad),
        "positions": padded([d.position for d in dialogues], 0),
        "labels": padded([d.labels for d in dialogues], -100),
        "weight": padded([d.weight for d in dialogues], 0.0),
        "truth": padded([d.truth for d in dialogues], -100),
        "kind": padded([d.kind for d in dialogues], 0),
        "mask": seen[:, None],
    }


def answers(
    head: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor, batch: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Weighted mean cross-entropy of the answers, of states (B, S, width); how often yes or no, and letters, are right."""
    # Labels stand on the token itself; the position before predicts it.
    scored = batch["labels"][:, 1:] != -100
    wanted, weight, kind = (batch[key][:, 1:][scored] for key in ("labels", "weight", "kind"))
    logits = head(hidden[:, :-1][scored]).float()
    loss = (F.cross_entropy(logits, wanted, reduction="none") * weight).sum() / weight.sum()
    right = logits.argmax(-1) == wanted
    return loss, {"claims": right[kind == 1], "choices": right[kind > 1]}


T = TypeVar("T")


def parts(rows: list[T]) -> list[list[T]]:
    size = -(-len(rows) // PARTS)
    return [rows[i : i + size] for i in range(0, len(rows), size)]
