"""Which of a recipe's settings decide what comes out of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FREE = ("guard.", "samples_steps", "sampling.batch_size", "reward.batch_size", "trainer.save_", "trainer.report_to")
"""What a training may go on with otherwise: settings that change no number of it."""


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The settings of a recipe's tree by dotted key."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for name, part in tree.items() for k, v in flat(part, f"{prefix}.{name}" if prefix else str(name)).items()}


def settled(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not `FREE`, by dotted key."""
    return {key: value for key, value in flat(dict(recipe)).items() if not key.startswith(FREE)}
