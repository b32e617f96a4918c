"""Reports are tested on summaries written by hand."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def confirmed(by_hand: None) -> None:
    """What is reported is what they say; that verdicts decide is tested in tests/runs/test_recomputed.py."""
