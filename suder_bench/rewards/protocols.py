"""What a reward is: a number for each (prompt, picture), or for each (picture, caption); larger is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

from PIL import Image

from suder_bench.models.protocols import Model
from suder_bench.rewards.regions import Region


class PictureReward(Protocol):
    """A reward at hand, however it came to be."""

    name: str

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        """One finite number per pair; it depends on that pair only, never on the rest of the batch."""
        ...


class Reward(PictureReward, Protocol):
    """Loaded as `Class.load(model)`: a self-reward asks the model that drew the pictures, any other reward ignores it."""

    @classmethod
    def load(cls, model: Model) -> Self:
        """Raises `UserError` when the model lacks what the reward asks of it."""
        ...


@runtime_checkable
class ChecksPrompts(Protocol):
    """A reward that cannot score every prompt."""

    def check(self, prompts: Sequence[str]) -> None:
        """Raises `UserError` naming the first prompt that it cannot score; a training asks before it draws anything."""
        ...


@runtime_checkable
class TellsItsJudges(Protocol):
    """A reward whose numbers somebody else makes."""

    def told(self) -> Mapping[str, Any]:
        """Who makes them, as JSON; `fingerprint` changes with what decides a number. Raises `UserError` where nobody answers."""
        ...


@runtime_checkable
class CreditsRegions(Protocol):
    """A reward that knows which parts of a picture earned it."""

    def regions(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Region] | None]:
        """Boxes of each picture with scores in [-1, 1]; None for a picture that should teach nothing."""
        ...


@runtime_checkable
class CountsFailures(Protocol):
    """A reward that reads what somebody writes."""

    def failures(self) -> Mapping[str, int]:
        """`scores` that were asked for so far, and how many of them were `unread` or `outside` of what they may be; empty where
        nothing was to be read."""
        ...


def failures_of(rewards: Mapping[str, object]) -> dict[str, dict[str, int]]:
    """By name what rewards that read what somebody writes could not read so far; without those that had nothing to read."""
    counted = {name: dict(one.failures()) for name, one in rewards.items() if isinstance(one, CountsFailures)}
    return {name: counts for name, counts in counted.items() if counts}


@runtime_checkable
class CaptionReward(Protocol):
    """A reward that scores captions too, as training of the understanding side needs."""

    name: str

    def score_captions(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[float]:
        """One finite number per (picture, caption written for it), of that pair only."""
        ...
