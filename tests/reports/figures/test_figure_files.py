"""The files of figures: all formats with their numbers, the same at every drawing, and nothing left of earlier ones."""

from __future__ import annotations

import csv
import itertools
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.reports.figures import charts
from suder_bench.reports.figures.figure import Caption, Captions, Chart, Figure, Kind, Mark, Picture, Pictures, Series, Sheet
from suder_bench.reports.figures.files import write
from suder_bench.rewards.regions import Region

HOSTILE = "<b>a $x_{$ \\frac{% & _ [link](http://x)"


def chart(kind: Kind, columns: tuple[str, ...] = ("Color", "Shape", "Texture", "Spatial")) -> Figure:
    steps = (0, 10, 20) if kind == "lines" else (None,)
    series = [
        Series(label, role, tuple(Mark(c, 0.5, *ends, step) for c in columns for step in steps), "runs/x")
        for label, role, ends in (
            ("before training", "start", (0.4, 0.6)),
            (HOSTILE, "measured", (0.4, 0.6)),
            ("=cmd", "measured", (None, None)),
        )
    ]
    paper = Series("the paper", "published", tuple(Mark(columns[0], 0.7, step=step) for step in steps), "arXiv")
    return Figure(3, f"figure-3-{kind}", HOSTILE, "measured", Chart(kind, columns, (*series, paper)), ("A note.",))


@pytest.fixture
def figures(tmp_path: Path) -> list[Figure]:
    file = tmp_path / "picture.png"
    Image.new("RGB", (60, 30), "teal").save(file)
    framed = (
        Picture(file, ("dsr -0.5", "verdict 1"), "best"),
        Picture(file, ("dsr -0.7",), "worst"),
        Picture(tmp_path / "none.png"),
    )
    mapped = (
        Picture(file, ("srum 0.5",), "best", mapped=True, regions=[Region((0, 0, 30, 30), 1.0)]),
        Picture(file, ("srum 0.4",), mapped=True),
        Picture(tmp_path / "none.png", mapped=True),
    )
    said = tuple(Caption(text, ("-0.5", "1"), "best") for text in (HOSTILE, "", "word " * 200))
    return [
        *(chart(kind) for kind in ("bars", "radar", "lines")),
        chart("lines", ("Color",)),
        Figure(7, "figure-7-world", "Samples", "same seeds", Pictures(("a" * 60, "b", "c"), ((HOSTILE * 9, framed),))),
        Figure(9, "figure-9-world", "Rewards", "same prompts", Pictures((), ((HOSTILE * 9, framed), ("short", framed[:1])))),
        Figure(9, "figure-9-credit", "Rewards", "with maps", Pictures((), (("a prompt", mapped), ("another", framed)))),
        Figure(10, "figure-10-world", "Rewards", "captions", Captions(("dsr", "verdict"), ((file, said),))),
        Figure(9, "figure-9-training", "Rewards", "in training", Sheet(file)),
    ]


def test_every_kind_is_drawn_in_every_format(tmp_path: Path, figures: list[Figure]) -> None:
    pytest.importorskip("matplotlib")
    files = write(figures, tmp_path / "out")
    assert all(file.stat().st_size > 0 for file in files)
    names = {figure.name for figure in figures}
    assert {(file.stem, file.suffix) for file in files[1:]} == {(n, e) for n in names for e in (".png", ".svg", ".pdf", ".csv")}
    for name in names:
        with Image.open(tmp_path / f"out/figures/{name}.png") as picture:
            assert 0.01 < (np.asarray(picture.convert("L")) < 250).mean() < 0.9, name
    assert not list((tmp_path / "out").rglob(".*"))


def test_the_same_figures_are_the_same_files(tmp_path: Path, figures: list[Figure]) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one", "other"):
        write([figures[0], figures[4]], tmp_path / name)
    for file in (tmp_path / "one").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "other" / file.relative_to(tmp_path / "one")).read_bytes(), file


def test_the_csv_holds_every_number_that_is_shown(tmp_path: Path, figures: list[Figure]) -> None:
    pytest.importorskip("matplotlib")
    write([figures[0], figures[7]], tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out/figures/figure-3-bars.csv").open()))
    assert len(rows) == 13
    expected = {"figure": "3", "role": "start", "step": "", "column": "Color", "value": "0.5", "low": "0.4", "high": "0.6"}
    assert rows[0] == {**expected, "series": "before training", "source": "runs/x"}
    assert rows[8]["series"] == "'=cmd"  # no spreadsheet runs it
    assert (rows[8]["low"], rows[12]["role"], rows[12]["value"]) == ("", "published", "0.7")
    [first, *_] = csv.DictReader((tmp_path / "out/figures/figure-10-world.csv").open())
    assert (first["dsr"], first["verdict"], first["frame"]) == ("-0.5", "1.0", "best")


def test_the_page_shows_each_figure_and_escapes_its_words(tmp_path: Path, figures: list[Figure]) -> None:
    pytest.importorskip("matplotlib")
    write(figures[:1], tmp_path / "out")
    page = (tmp_path / "out/figures.md").read_text()
    assert "(figures/figure-3-bars.png)" in page
    assert "[SVG](figures/figure-3-bars.svg), [PDF](figures/figure-3-bars.pdf), [CSV](figures/figure-3-bars.csv)" in page
    assert "<b>" not in page
    assert "http://" not in page


@pytest.mark.parametrize("label", ["_mine", "__x__", "_"])
def test_every_series_of_a_radar_is_named_in_its_legend(label: str) -> None:
    pytest.importorskip("matplotlib")
    columns = ("Color", "Shape", "Texture")
    series = [Series(name, "measured", tuple(Mark(one, 0.5) for one in columns), "runs/x") for name in ("one", label)]
    radar = Chart("radar", columns, tuple(series))
    with warnings.catch_warnings(action="error"):
        drawing = charts.draw(Figure(4, "figure-4-x", "Algorithms", "measured", radar), radar)
    [ax] = drawing.axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", label]


@pytest.mark.parametrize("notes", [(), ("What is told below takes a line or two.",) * 12])
def test_names_of_two_lines_beside_bars_keep_apart(notes: tuple[str, ...]) -> None:
    pytest.importorskip("matplotlib")
    names = [f"SUDER, unified (another setting {i})" for i in range(6)]
    bars = Chart("bars", ("GenEval",), tuple(Series(name, "measured", (Mark("GenEval", 0.5),), "runs/x") for name in names))
    drawing = charts.draw(Figure(4, "figure-4-x", "Algorithms", "measured", bars, notes), bars)
    drawing.draw_without_rendering()
    shown = sorted((name.get_window_extent() for name in drawing.axes[0].get_yticklabels()), key=lambda one: one.y0)
    assert all(low.y1 < high.y0 for low, high in itertools.pairwise(shown))


@pytest.mark.parametrize(("value", "shown"), [(-0.0, "0.00"), (-0.001, "0.00"), (0.5, "0.50")])
def test_numbers_beside_marks_have_no_sign_of_zero_and_tell_few_clusters(value: float, shown: str) -> None:
    assert str(Mark("Color", value)) == shown
    assert str(Mark("Color", value, few_clusters=3)) == f"{shown}~"


def test_few_clusters_are_in_the_csv_where_there_are_any() -> None:
    few = Chart("bars", ("Color",), (Series("one", "measured", (Mark("Color", 0.5, 0.4, 0.6, few_clusters=4),), "runs/x"),))
    assert [row["few_clusters"] for row in few.rows()] == [4]


def test_figures_of_an_earlier_report_are_removed(tmp_path: Path, figures: list[Figure]) -> None:
    pytest.importorskip("matplotlib")
    write(figures[7:], tmp_path)
    write(figures[7:8], tmp_path)
    assert {file.stem for file in (tmp_path / "figures").iterdir()} == {"figure-10-world"}


def test_a_missing_matplotlib_is_told_with_its_install_command(
    tmp_path: Path, figures: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r'out/figures needs matplotlib; pip install -c constraints.txt "\.\[train\]"'):
        write(figures, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, figures: list[Figure]) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(UserError, match=r"cannot write the figures into '.*figures' \(.*\); choose another --out"):
        write(figures[:1], tmp_path)


def test_nothing_to_draw_needs_no_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (tmp_path / "figures.md").write_text("of an earlier report")
    assert write([], tmp_path) == []
    assert list(tmp_path.iterdir()) == []
