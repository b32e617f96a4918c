"""The files of a report's figures: each below `figures/` as PNG, SVG and PDF with its numbers as CSV, and `figures.md`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from suder_bench import plots
from suder_bench.errors import UserError
from suder_bench.reports.figures import charts, plates
from suder_bench.reports.figures.figure import Captions, Chart, Figure, Pictures
from suder_bench.reports.tables.comma import escape
from suder_bench.reports.tables.markdown import escape as plain
from suder_bench.runs.jsonl import replace_file


def write(figures: Sequence[Figure], out: Path) -> list[Path]:
    """Write the figures into `out`; those of an earlier report that are not made anew are removed. Returns the files.

    Raises `plots.NotInstalledError` without matplotlib, other `UserError`s for a sheet that cannot be read, and where `out`
    is a file or cannot be written.
    """
    folder = out / "figures"
    if out.exists() and not out.is_dir():
        raise UserError(f"--out '{out}' is a file; choose a folder")
    if figures:
        plots.check_installed(folder)
    files = [out / "figures.md"] if figures else []
    try:
        for figure in figures:
            files += _draw(figure, folder)
            files.append(folder / f"{figure.name}.csv")
            replace_file(files[-1], numbers(figure).encode())
        for old in {*folder.glob("figure-*-*.*"), *folder.glob("extension-*-*.*")} - set(files):
            old.unlink()
        if figures:
            replace_file(files[0], "\n".join(map(page, figures)).encode())
        else:
            (out / "figures.md").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the figures into '{folder}' ({error.strerror or error}); choose another --out") from None
    return files


def numbers(figure: Figure) -> str:
    """All that the figure shows as CSV, a line for each mark, picture or caption."""
    content = io.StringIO()
    rows = list(figure.content.rows())
    out = csv.DictWriter(content, ["figure", *(rows[0] if rows else {})], lineterminator="\n")
    out.writeheader()
    for row in rows:
        out.writerow({"figure": figure.number, **{name: escape(v) if isinstance(v, str) else v for name, v in row.items()}})
    return content.getvalue()


def page(figure: Figure) -> str:
    """The figure as Markdown beside the folder `figures`: picture, notes, and how each measured series was made."""
    files = ", ".join(f"[{ending.upper()}](figures/{figure.name}.{ending})" for ending in (*plots.FORMATS[1:], "csv"))
    parts = [f"### {plain(figure.title)}", f"![{plain(figure.title)}](figures/{figure.name}.png)", files]
    if figure.notes:
        parts.append("\n".join(f"- {plain(note)}" for note in figure.notes))
    if figure.recipes:
        made = [f"- {plain(label)}\n" + "\n".join(f"  - {plain(one)}" for one in lines) for label, lines in figure.recipes]
        parts.append("How the measured series were made:\n\n" + "\n".join(made))
    return "\n\n".join(parts) + "\n"


def _draw(figure: Figure, folder: Path) -> list[Path]:
    from matplotlib import rc_context

    files = [folder / f"{figure.name}.{ending}" for ending in plots.FORMATS]
    with rc_context(plots.STYLE):
        drawing = plots.settled(_drawn(figure))
        for file in files:
            plots.save(drawing, file)
    return files


def _drawn(figure: Figure) -> plots.Figure:
    match figure.content:
        case Chart() as chart:
            return charts.draw(figure, chart)
        case Pictures() as pictures:
            return plates.draw_pictures(figure, pictures)
        case Captions() as captions:
            return plates.draw_captions(figure, captions)
        case sheet:
            return plates.draw_sheet(figure, sheet)
