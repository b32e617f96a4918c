"""curves.csv and curves.png: what is read, what is written, what is drawn."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.reports.site.curves import curves
from suder_bench.training.curves import COLUMNS, draw, read_points, read_rewards, smooth, write_csv


def evaluation(folder: Path, step: int, suite: str = "gen", world: bool = False, **benchmarks: dict[str, Any]) -> None:
    """A summary with the given metrics; the first of each benchmark is its headline."""
    entries = {
        name.replace("_", "-"): {
            "headline": next(iter(metrics)),
            "paper_metrics": list(metrics),
            "protocol": "official",
            "judges": {},
            **dict.fromkeys(("n_samples", "n_responses"), 8),
            **dict.fromkeys(("skipped", "failed"), 0),
            "metrics": {
                metric: {"value": value, "low": None if value is None else value - 0.1, "high": value, "n": 8}
                for metric, value in metrics.items()
            },
        }
        for name, metrics in benchmarks.items()
    }
    (folder / f"step-{step}" / suite).mkdir(parents=True)
    (folder / f"step-{step}" / suite / "summary.json").write_text(
        json.dumps({"schema": 1, "run": "r", "model": "m", "suite": suite, "world": world, "recipe": {}, "benchmarks": entries})
    )


def test_points_are_every_metric_of_every_evaluation_in_order_of_step(tmp_path: Path) -> None:
    evaluation(tmp_path, 100, geneval={"overall": 0.5, "counting": 0.25})
    evaluation(tmp_path, 20, geneval={"overall": 0.4})
    evaluation(tmp_path, 20, suite="und", pope={"f1": 0.8})
    assert [(p.step, p.suite, p.benchmark, p.metric, p.value, p.headline, p.tag) for p in read_points(tmp_path)] == [
        (20, "gen", "geneval", "overall", 0.4, True, False),
        (20, "und", "pope", "f1", 0.8, True, False),
        (100, "gen", "geneval", "overall", 0.5, True, False),
        (100, "gen", "geneval", "counting", 0.25, False, True),
    ]


def test_evaluations_in_progress_and_other_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "step-20" / "gen" / "responses").mkdir(parents=True)
    (tmp_path / "step-x" / "gen").mkdir(parents=True)
    (tmp_path / "curves.csv").touch()
    assert read_points(tmp_path) == []
    assert read_points(tmp_path / "nowhere") == []


def test_the_csv_holds_a_row_per_metric_and_empty_cells_for_what_is_not_known(tmp_path: Path) -> None:
    evaluation(tmp_path, 0, geneval={"overall": 0.5, "counting": None})
    write_csv(read_points(tmp_path), tmp_path / "curves.csv")
    with (tmp_path / "curves.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        list(COLUMNS),
        ["0", "gen", "geneval", "overall", "0.5", "0.4", "0.5", "8"],
        ["0", "gen", "geneval", "counting", "", "", "", "8"],
    ]


def test_rewards_survive_torn_lines_resumes_and_steps_without_them(tmp_path: Path) -> None:
    lines = [
        '{"step": 1, "gen/reward": 0.5, "und/reward": -1, "loss": 2}',
        '{"step": 2, "gen/reward": NaN}',
        '{"step": 3, "gen/reward": 0.6}',
        '{"step": 4, "gen/reward": 0.9}',
        '{"step": 3, "gen/reward": 0.7}',
        '{"gen/reward": 8}',
        "[]",
        '{"step": 5, "gen/rew',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    (tmp_path / "other.jsonl").write_text('{"step": 9, "gen/reward": 1}\n')
    assert read_rewards(tmp_path) == {"gen/reward": [(1, 0.5), (3, 0.7), (4, 0.9)], "und/reward": [(1, -1.0)]}
    assert read_rewards(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    "line", ["[1]", "7", "[" * 9999, '{"step": 1e999, "gen/reward": 1}', f'{{"step": 3, "gen/reward": 1{"0" * 400}}}']
)
def test_a_logged_line_of_wrong_types_is_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, "gen/reward": 0.5}}\n{line}\n{{"step": 2, "gen/reward": true}}\n')
    assert read_rewards(tmp_path) == {"gen/reward": [(1, 0.5)]}
    assert curves(tmp_path)["logged"] == {"gen/reward": [[1, 0.5]]}


def test_the_separate_strategys_rewards_come_from_its_two_models(tmp_path: Path) -> None:
    for branch, value in (("gen", 0.5), ("und", 0.25)):
        (tmp_path / branch).mkdir()
        (tmp_path / branch / "metrics.jsonl").write_text(json.dumps({"step": 1, f"{branch}/reward": value}) + "\n")
    assert read_rewards(tmp_path) == {"gen/reward": [(1, 0.5)], "und/reward": [(1, 0.25)]}


def ink(file: Path) -> tuple[int, int, float]:
    """Width, height, and the share of pixels that are not white."""
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return picture.width, picture.height, float((pixels.min(axis=-1) < 250).mean())


def test_the_picture_has_a_panel_per_benchmark_and_reward(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    tags = {"overall": 0.5, "single_object": 0.9, "two_object": 0.52, "counting": 0.51, "colors": None}
    for step in (0, 20, 40):
        evaluation(tmp_path, step, geneval={name: value and value + step / 1000 for name, value in tags.items()}, world=True)
    points = read_points(tmp_path)
    draw(points, {}, tmp_path / "one.png", "a run")
    draw(points, {"gen/reward": [(1, 0.1), (2, 0.2)], "und/reward": [(1, -3.0)]}, tmp_path / "three.png", "a run")
    one, three = ink(tmp_path / "one.png"), ink(tmp_path / "three.png")
    assert three[0] == 3 * one[0]
    assert three[1] == one[1]
    assert 0.01 < one[2] < 0.3
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("values", [(0.5,), (None,), (None, 0.5), (0.5, None, 0.6)])
def test_a_single_evaluation_and_values_that_are_not_known_are_drawn(tmp_path: Path, values: tuple[float | None, ...]) -> None:
    pytest.importorskip("matplotlib")
    for step, value in enumerate(values):
        evaluation(tmp_path, step, unheard_of={"score": value})
    draw(read_points(tmp_path), {}, tmp_path / "curves.png", "a run")
    assert ink(tmp_path / "curves.png")[2] > 0


def test_nothing_to_draw_is_no_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw([], {}, tmp_path / "curves.png", "a run")
    assert not (tmp_path / "curves.png").exists()


def test_a_missing_matplotlib_is_told_with_its_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r'curves.png needs matplotlib; pip install -c constraints.txt "\.\[train\]"'):
        draw([], {}, tmp_path / "curves.png", "a run")


def test_smoothing_is_a_mean_over_what_neighbours_there_are() -> None:
    assert smooth([1, 2, 6, 2, 1], 3) == pytest.approx([1.5, 3, 10 / 3, 3, 1.5])
    assert smooth([1, 2, 6], 1).tolist() == [1, 2, 6]
