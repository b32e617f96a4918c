"""No picture of a run takes the place of another's: two that a layout would call alike are refused before any is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from suder_bench.benchmark import GenerationBenchmark
from suder_bench.data.source import Source, write_world
from suder_bench.errors import UserError
from suder_bench.runs.plan import Settings, plan


def quiet(line: str) -> None:
    pass


def repeated(folder: Path, *prompts: str) -> Path:
    """The world's T2I-CompBench with other colours' prompts."""
    write_world(folder, size="quick", benchmarks=["t2i-compbench"])
    (folder / "t2i_compbench/color_val.txt").write_text("\n".join(prompts))
    return folder


@pytest.mark.parametrize("second", ["a cat", "A cat"])
def test_two_pictures_of_one_name_are_refused_before_anything_is_drawn(tmp_path: Path, second: str) -> None:
    source = Source("folder", path=repeated(tmp_path, "a cat", second))
    told = rf"picture 10 of color/0000 and picture 0 of color/0001 would both be color/samples/{second}_000010\.png; choose"
    with pytest.raises(UserError, match=told) as refused:
        plan(Settings("t2i-compbench", ("t2i-compbench",), source, repeats=11), quiet)
    assert "\n" not in str(refused.value)
    assert "a run that was made so has lost the first, and is made anew by suder-bench run --fresh" in str(refused.value)
    plan(Settings("t2i-compbench", ("t2i-compbench",), source, repeats=10), quiet)


def test_more_pictures_than_official_of_one_prompt_in_two_places_are_read_back(tmp_path: Path) -> None:
    source = Source("folder", path=repeated(tmp_path, "a cat", "a dog", "a cat"))
    [task] = plan(Settings("t2i-compbench", ("t2i-compbench",), source, repeats=13), quiet)
    items = {
        cast(GenerationBenchmark, task.benchmark).image_path(item.sample, item.repeat): item.key
        for item in task.items
        if item.key[0][:5] == "color"
    }
    for file in items:
        (tmp_path / "made" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "made" / file)
    found = {
        str(file.relative_to(tmp_path / "made")): (one.id, repeat)
        for one, repeat, file in cast(GenerationBenchmark, task.benchmark).find_images(tmp_path / "made")
    }
    assert found == items
