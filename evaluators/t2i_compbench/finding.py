"""What one judge finds in one picture: the part of a T2I-CompBench score that a category is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """A score, why it is so, and JSON values for a reader."""

    score: float
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)
