"""Checkpoints of UniDet's two networks with the tests' weights, as detectron2 saves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_judges import unidet_tensors


@pytest.fixture(scope="session")
def r50() -> dict[str, torch.Tensor]:
    return unidet_tensors("r50")


@pytest.fixture(scope="session")
def file(r50, tmp_path_factory) -> Path:
    """R50 with what training leaves beside the model."""
    notes = {"optimizer": {"lr": np.float64(0.01)}, "iteration": 7, "shapes": np.arange(3)}
    path = tmp_path_factory.mktemp("unidet") / "Unified_learned_OCIM_R50_6x+2x.pth"
    torch.save({"model": r50, **notes}, path)
    return path


@pytest.fixture
def save(tmp_path) -> Callable[[Any], Path]:
    def saved(content: Any) -> Path:
        torch.save(content, tmp_path / "some.pth")
        return tmp_path / "some.pth"

    return saved


@pytest.fixture(scope="session")
def rs200(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("unidet") / "Unified_learned_OCIM_RS200_6x+2x.pth"
    torch.save({"model": unidet_tensors("rs200")}, path)
    return path
