"""The small random checkpoints, written once."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.vlm.tiny_vlm import WRITERS

from suder_bench.models.vlm.model import VlmModel


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder a family, to be read and not changed."""
    return {family: write(tmp_path_factory.mktemp(family)) for family, write in WRITERS.items()}


@pytest.fixture(scope="session")
def loaded(checkpoints: dict[str, Path]) -> dict[str, VlmModel]:
    return {family: VlmModel.load(str(folder), device="cpu") for family, folder in checkpoints.items()}


@pytest.fixture(params=WRITERS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(checkpoints: dict[str, Path], family: str) -> Path:
    return checkpoints[family]


@pytest.fixture
def vlm(loaded: dict[str, VlmModel], family: str) -> VlmModel:
    return loaded[family]
