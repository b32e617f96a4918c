"""What a reward can do: one number for each (prompt, picture)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from suder_bench.models.protocols import Model


class Reward(Protocol):
    """Loaded as `Class.load(model)`: a self-reward asks the model that drew the pictures, any other reward ignores it."""

    name: str

    def score(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        """One finite number per pair, larger is better; it depends on that pair only, never on the rest of the batch."""
        ...

    @classmethod
    def load(cls, model: Model) -> Reward:
        """Raises `UserError` when the model lacks what the reward asks of it."""
        ...
