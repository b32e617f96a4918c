"""Tiny random networks, one folder each."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_judges


@pytest.fixture(scope="session")
def blip(tmp_path_factory) -> Path:
    return tiny_judges.blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    return tiny_judges.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def dpt(tmp_path_factory) -> Path:
    return tiny_judges.dpt(tmp_path_factory.mktemp("dpt"))


@pytest.fixture(scope="session")
def owl(tmp_path_factory) -> Path:
    return tiny_judges.owl(tmp_path_factory.mktemp("owl"))
