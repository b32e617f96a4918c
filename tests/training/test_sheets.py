"""Sheets of samples: their sizes, the pictures and colours on them, whatever the rewards and captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from suder_bench.training import sheets
from suder_bench.training.items import Item
from suder_bench.training.recipe import Task
from suder_bench.training.rewards import Scores
from suder_bench.training.rollout import Rollout

SHADES = (0.9, -0.9, 0.3, -0.3)
BEST, WORST = (ImageColor.getrgb(colour) for colour in (sheets.BEST, sheets.WORST))


def rollout(
    task: Task, rewards: list[list[float]], captions: str = "a red ball left of a star", prompt: str = "a star"
) -> Rollout:
    """Groups with these rewards; the samples of a group are grey pictures of `SHADES`."""
    groups, size = len(rewards), len(rewards[0])
    total = torch.tensor(rewards, dtype=torch.float64).flatten()
    items = [Item(task, i, i, 0) for i in range(groups)]
    scores = Scores(total, {"dsr": total})
    if task == "gen":
        pixels = torch.stack([torch.full((3, 16, 16), SHADES[i % 4]) for i in range(groups * size)])
        return Rollout(task, items, [prompt] * (groups * size), [[0]] * (groups * size), scores, size, pixels=pixels)
    shown = [Image.new("RGB", (32, 24), (10 * group, 200, 0)) for group in range(groups) for _ in range(size)]
    return Rollout(task, items, shown, [[0]] * (groups * size), scores, size, captions=[captions] * (groups * size))


def saved(one: Rollout, folder: Path) -> np.ndarray:
    """The sheet's pixels, (height, width, 3)."""
    file = folder / "deep" / "sheet.png"
    sheets.save(one, file)
    with Image.open(file) as sheet:
        assert (sheet.mode, sheet.format) == ("RGB", "PNG")
        return np.asarray(sheet)


def count(sheet: np.ndarray, colour: tuple[int, ...]) -> int:
    return int((sheet == np.array(colour)).all(axis=2).sum())


def rows_with(sheet: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    return np.flatnonzero((sheet == np.array(colour)).all(axis=2).any(axis=1))


REWARDS = [[-1.0, -3.0, -2.0, -2.5], [-3.0, -1.0, -2.0, -2.0]]


def test_pictures_stand_in_rows_of_prompts_with_best_and_worst_framed(tmp_path: Path) -> None:
    one = saved(rollout("gen", REWARDS[:1]), tmp_path)
    two = saved(rollout("gen", REWARDS), tmp_path)
    assert two.shape[1] == one.shape[1] == sheets.MARGIN + 4 * (sheets.CELL + sheets.MARGIN)
    assert sheets.CELL < one.shape[0] < two.shape[0] < 2 * one.shape[0]
    for shade in SHADES:
        grey = (int((shade + 1) / 2 * 255),) * 3
        assert count(one, grey) >= 0.9 * sheets.CELL**2
        assert count(two, grey) >= 1.8 * sheets.CELL**2
    frame = 2 * 4 * sheets.CELL
    assert count(one, BEST) > frame
    assert count(one, WORST) > frame
    best, worst = (np.flatnonzero((one == np.array(colour)).all(axis=2).any(axis=0)).mean() for colour in (BEST, WORST))
    assert best < worst < one.shape[1] / 2  # the first and the second of four


def test_a_group_without_a_signal_has_no_best(tmp_path: Path) -> None:
    for task in ("gen", "und"):
        sheet = saved(rollout(task, [[-2.0] * 4]), tmp_path)
        assert count(sheet, BEST) == count(sheet, WORST) == 0


def test_captions_stand_beside_their_picture_from_best_to_worst(tmp_path: Path) -> None:
    sheet = saved(rollout("und", REWARDS), tmp_path)
    assert count(sheet, (0, 200, 0)) > 0.6 * sheets.CELL**2
    assert count(sheet, (10, 200, 0)) > 0.6 * sheets.CELL**2
    best, worst = rows_with(sheet, BEST), rows_with(sheet, WORST)
    assert len(best)
    assert len(worst)
    middle = sheet.shape[0] / 2
    for half in (slice(None, int(middle)), slice(int(middle), None)):
        part = sheet[half]
        assert rows_with(part, BEST).max() < rows_with(part, WORST).min()


@pytest.mark.parametrize("task", ["gen", "und"])
def test_a_sheet_shows_the_first_groups(task: Task, tmp_path: Path) -> None:
    many = saved(rollout(task, REWARDS[:1] * 20), tmp_path)
    assert many.shape == saved(rollout(task, REWARDS[:1] * sheets.ROWS), tmp_path).shape
    assert many.shape[0] < 2000
    assert many.shape[1] < 2000


@pytest.mark.parametrize("text", ["", "x" * 3000, "word " * 500, "one\ntwo\n\n\tthree", "ein Bär, 熊 \U0001f43b", "\x00\x07�"])
def test_any_text_fits(text: str, tmp_path: Path) -> None:
    usual = saved(rollout("und", REWARDS), tmp_path)
    odd = saved(rollout("und", REWARDS, captions=text), tmp_path)
    assert odd.shape[1] == usual.shape[1]
    assert odd.shape[0] <= 3 * usual.shape[0]
    pictures = saved(rollout("gen", REWARDS, prompt=text), tmp_path)
    assert pictures.shape == saved(rollout("gen", REWARDS), tmp_path).shape


def test_a_single_group_of_two(tmp_path: Path) -> None:
    for task in ("gen", "und"):
        sheet = saved(rollout(task, [[-1.0, -2.0]]), tmp_path)
        assert count(sheet, BEST)
        assert count(sheet, WORST)
