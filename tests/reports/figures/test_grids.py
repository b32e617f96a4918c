"""Figures 7-10: the same prompts side by side, and samples with what rewards think of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_comparisons import compared
from fake_runs import write_drawn, write_geneval
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.reports.credit import overlay
from suder_bench.reports.figures import demonstrations, grids
from suder_bench.reports.figures.figure import Captions, Figure, Pictures, Sheet
from suder_bench.rewards import kept
from suder_bench.rewards.compare import Samples
from suder_bench.rewards.regions import Region
from suder_bench.rewards.sampled import Sampled

PROMPTS = {f"a photo of {number} stars": "counting" for number in range(9)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_geneval(tmp_path / "data", PROMPTS)


def pictures(figure: Figure) -> Pictures:
    assert isinstance(figure.content, Pictures)
    return figure.content


def test_the_same_prompts_stand_side_by_side(tmp_path: Path, data: Path) -> None:
    runs = [write_drawn(tmp_path / name, data, model=name, wrong={0}) for name in ("one", "two", "three")]
    [figure] = grids.build(8, runs)
    assert (figure.name, figure.title) == ("figure-8-real", "Figure 8. Samples of geneval prompts: drawn with the same seeds")
    assert pictures(figure).columns == ("one", "two", "three")
    prompts = [prompt for prompt, _ in pictures(figure).prompts]
    assert len(prompts) == grids.ROWS
    assert prompts == sorted(prompts)
    first = pictures(figure).prompts[0][1]
    assert [picture.lines for picture in first] == [("wrong",)] * 3
    assert [picture.file.parents[2].name for picture in first] == ["one", "two", "three"]
    assert all(picture.file.is_file() for _, row in pictures(figure).prompts for picture in row)


def test_a_training_has_a_column_for_each_step(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "t"
    for step in range(0, 80, 10):
        name = "start" if step == 0 else f"{run}/checkpoint-{step}"
        write_drawn(run / f"evaluations/step-{step}/geneval", data, model=name, world=True)
    (run / "recipe.yaml").write_text("model: start\n")
    [figure] = grids.build(8, [run])
    assert figure.name == "figure-8-world"
    assert pictures(figure).columns == ("start", "step 10", "step 30", "step 40", "step 60", "step 70")
    assert "6 of 8 models, spread evenly." in figure.notes


def test_other_seeds_and_other_data_share_no_grid(tmp_path: Path, data: Path) -> None:
    other = write_geneval(tmp_path / "other", {"a star": "counting"})
    runs = [write_drawn(tmp_path / "one", data), write_drawn(tmp_path / "two", other, model="two")]
    with pytest.raises(
        UserError, match="with one seed, and no two did; draw them with: suder-bench track runs/tiny --benchmark gen"
    ):
        grids.build(8, runs)
    with pytest.raises(UserError, match="no two did"):
        grids.build(8, [runs[0], shutil.copytree(runs[0], tmp_path / "copy")])


def test_only_prompts_that_all_have_drawn_are_shown(tmp_path: Path, data: Path) -> None:
    runs = [write_drawn(tmp_path / name, data, model=name) for name in ("one", "two")]
    (runs[1] / "images/geneval/00000.png").unlink()
    [figure] = grids.build(8, runs)
    assert "a photo of 0 stars" not in [prompt for prompt, _ in pictures(figure).prompts]
    shutil.rmtree(runs[1] / "images")
    with pytest.raises(UserError, match="no two did"):
        grids.build(8, runs)


def test_pictures_stand_from_the_highest_reward_to_the_lowest(tmp_path: Path) -> None:
    [figure] = demonstrations.build(9, [compared(tmp_path / "c")])
    assert (figure.name, figure.title) == ("figure-9-world", "Figure 9. dsr and clip of pictures by m: on the embedded world")
    assert [prompt for prompt, _ in pictures(figure).prompts] == ["prompt 0", "prompt 1", "prompt 2", "prompt 3"]
    row = pictures(figure).prompts[0][1]
    assert [picture.frame for picture in row] == ["best", "", "worst"]
    assert row[0].lines == ("dsr -0.500", "clip 0.500", "verdict 1")
    assert row[0].file == tmp_path / "c/samples/0-1.png"


def test_where_a_reward_credits_pictures_stands_below_them(tmp_path: Path) -> None:
    [figure] = demonstrations.build(9, [compared(tmp_path / "c", regions=True)])
    first, second, third = pictures(figure).prompts[0][1]
    assert [one.mapped for one in (first, second, third)] == [True] * 3
    assert first.regions == second.regions == [Region((0, 0, 4, 8), 1.0), Region((4, 0, 8, 8), -0.5)]
    assert third.regions is None
    assert "Below each picture the regions by clip: green good, orange bad, the stronger the surer." in figure.notes
    assert not any(one.mapped for one in pictures(demonstrations.build(9, [compared(tmp_path / "d")])[0]).prompts[0][1])


def test_a_map_is_green_where_regions_are_good_and_orange_where_they_are_bad() -> None:
    picture = Image.new("RGB", (8, 8), (200, 100, 50))
    shown = np.asarray(overlay(picture, [Region((0, 0, 4, 8), 1.0), Region((4, 0, 6, 8), -0.5)])).astype(int)
    grey = int(np.asarray(picture.convert("L"))[0, 0])
    assert shown[0, 7].tolist() == [grey] * 3
    assert shown[:, 1, 1].min() > shown[:, 1, 0].max() + 50
    assert shown[:, 5, 0].min() > shown[:, 5, 2].max() + 20
    assert np.asarray(overlay(picture, None)).tolist() == [[[grey] * 3] * 8] * 8


def test_pictures_that_another_drew_are_told(tmp_path: Path) -> None:
    [figure] = demonstrations.build(9, [compared(tmp_path / "c", drawer="painter")])
    assert figure.subject == "dsr and clip of pictures by painter, asked of m"


def test_of_many_samples_some_are_shown_from_end_to_end(tmp_path: Path) -> None:
    out, many = compared(tmp_path / "c"), 30
    values = np.arange(many, dtype=float)[None]
    files = [[out / f"samples/0-{k % 3}.png" for k in range(many)]]
    kept.write(out, Sampled(["a prompt"], files, Samples(("c",), {"dsr": values}, np.ones((1, many))), {}), None)
    [figure] = demonstrations.build(9, [out])
    [(_, row)] = pictures(figure).prompts
    assert [row[0].lines, row[-1].lines, len(row)] == [("dsr 29.000",), ("dsr 0.000",), 8]
    assert "8 of 30 samples each, spread evenly over that order" in figure.notes[0]


def test_captions_stand_from_the_highest_reward_to_the_lowest(tmp_path: Path) -> None:
    [figure] = demonstrations.build(10, [compared(tmp_path / "c", world=False)])
    assert figure.name == "figure-10-real"
    assert isinstance(figure.content, Captions)
    assert figure.content.names == ("dsr", "verdict")
    (file, captions), (_, equal) = figure.content.pictures
    assert file.is_file()
    assert [(one.text, one.numbers, one.frame) for one in captions] == [
        ("a dog", ("-0.500", "1"), "best"),
        ("a cat", ("-1.000", "1"), "worst"),
    ]
    assert [one.frame for one in equal] == ["", ""]


def test_a_training_shows_its_last_sheet(tmp_path: Path) -> None:
    run = tmp_path / "t"
    (run / "samples").mkdir(parents=True)
    (run / "recipe.yaml").write_text("model: start\n")
    for step in (0, 90, 100):
        Image.new("RGB", (90, 40)).save(run / f"samples/step-{step:06d}-gen.png")
    [figure] = demonstrations.build(9, [run])
    assert figure.content == Sheet(run / "samples/step-000100-gen.png")
    assert figure.title == f"Figure 9. Rewards of pictures in training: step 100 of {run}"
    with pytest.raises(UserError, match="Figure 10 shows captions with their rewards and no run given has any; make them with: "):
        demonstrations.build(10, [run, compared(tmp_path / "c", captions=False)])


def test_several_comparisons_have_a_file_each(tmp_path: Path) -> None:
    found = demonstrations.build(9, [compared(tmp_path / name) for name in "ab"])
    assert [figure.name for figure in found] == ["figure-9-world", "figure-9-world-2"]


def test_a_comparison_that_is_not_whole_is_told(tmp_path: Path) -> None:
    out = compared(tmp_path / "c")
    (out / "rewards.jsonl").write_text('{"part": "pictures"}\n')
    with pytest.raises(UserError, match=r"rewards.jsonl is not readable \('given'\); repeat the suder-bench reward compare"):
        demonstrations.build(9, [out])


def test_pictures_made_elsewhere_are_found_where_they_are(tmp_path: Path) -> None:
    elsewhere, out = tmp_path / "elsewhere.png", tmp_path / "out"
    out.mkdir()
    Image.new("RGB", (8, 8)).save(elsewhere)
    samples = Samples(("c",), {"dsr": np.array([[-1.0]])}, np.ones((1, 1)))
    kept.write(out, Sampled(["a prompt"], [[elsewhere]], samples, {}), None)
    [row] = kept.read(out)
    assert row.verdict is None
    assert (out / row.made[0]).samefile(elsewhere)
