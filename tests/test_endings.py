"""Which files are called pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from suder_bench.endings import ENDINGS, READ, is_picture


def test_what_is_said_to_be_read_is_read_by_pillow() -> None:
    assert {f".{ending}" for ending in READ} <= Image.registered_extensions().keys()
    assert set(READ) < set(ENDINGS)


@pytest.mark.parametrize(
    ("name", "so"), [("a.png", True), ("a.WebP", True), ("a.heic", True), (".a.png", False), ("a.txt", False), ("png", False)]
)
def test_pictures_are_told_by_their_names(name: str, so: bool) -> None:
    assert is_picture(Path("folder.png") / name) is so
