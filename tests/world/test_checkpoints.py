"""The shipped checkpoints by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from suder_bench.errors import UserError
from suder_bench.world import checkpoints


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_FOLDER", tmp_path / "weights")
    assert checkpoints.names() == []
    (tmp_path / "weights/tiny").mkdir(parents=True)
    (tmp_path / "weights/tiny/config.json").write_text("{}")
    assert (checkpoints.names(), checkpoints.path("tiny")) == (["tiny"], tmp_path / "weights/tiny")
    with pytest.raises(UserError, match="unknown shipped checkpoint 'tniy'; did you mean 'tiny'"):
        checkpoints.path("tniy")
