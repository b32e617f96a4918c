"""Pictures that were drawn for prompts of one's own, kept for the next time."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeModel

from suder_bench.models.protocols import ImageSampling
from suder_bench.rewards.sampled import for_prompts
from suder_bench.runs.screen import Screen


def drawn(out: Path) -> FakeModel:
    model = FakeModel()
    sampling = ImageSampling()
    found = for_prompts(
        model, {"model": "m"}, ["shade 1", "shade 2"], repeats=2, seed=0, sampling=sampling, out=out, screen=Screen(io.StringIO())
    )
    assert [[file.is_file() for file in own] for own in found.files] == [[True, True], [True, True]]
    return model


@pytest.mark.parametrize(
    ("key", "value"), [("image", None), ("image", 3), ("image", "a\0b"), ("prompt", ["shade 1"]), ("repeat", "0"), ("repeat", {})]
)
def test_a_kept_line_of_wrong_types_is_drawn_again(tmp_path: Path, key: str, value: Any) -> None:
    drawn(tmp_path)
    assert drawn(tmp_path).batches == []
    file = tmp_path / "responses/0.jsonl"
    first, *others = file.read_text().splitlines()
    for row in (json.loads(first) | {key: value}, {name: one for name, one in json.loads(first).items() if name != key}):
        file.write_text("\n".join([json.dumps(row), *others]) + "\n")
        assert sum(map(len, drawn(tmp_path).batches)) == 1
