"""The shared style of plots: where labels go, and files that do not change from one drawing to the next."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench import plots
from suder_bench.plots import spread


@pytest.mark.parametrize("ending", plots.FORMATS)
def test_equal_figures_are_equal_files_without_a_date(tmp_path: Path, ending: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    for name in ("one", "other"):
        with matplotlib.rc_context(plots.STYLE):
            figure = plots.blank(plots.COLUMN, 2)
            ax = figure.add_subplot()
            ax.fill_between([0, 1], [0.1, 0.2], [0.3, 0.4])
            plots.label_ends(ax, [(1, 0.3, "a line", "black"), (1, 0.31, "its neighbour", plots.OKABE_ITO[0])])
            plots.save(figure, tmp_path / f"{name}.{ending}")
    content = (tmp_path / f"one.{ending}").read_bytes()
    assert content == (tmp_path / f"other.{ending}").read_bytes()
    assert b"Date" not in content.replace(b"/D:", b"")
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"one.{ending}", f"other.{ending}"]


@given(st.lists(st.floats(-10, 10), max_size=12), st.floats(0.01, 2))
def test_labels_keep_their_distance_and_their_order(wanted: list[float], gap: float) -> None:
    places = spread(wanted, gap)
    assert len(places) == len(wanted)
    ordered = sorted(zip(wanted, places, strict=True))
    assert all(later[1] - former[1] >= gap - 1e-9 for former, later in pairwise(ordered))
    assert math.isclose(sum(places), sum(wanted), abs_tol=1e-6)


def test_labels_with_room_stay_where_they_are() -> None:
    assert spread([0.9, 0.1, 0.5], 0.2) == [0.9, 0.1, 0.5]
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
