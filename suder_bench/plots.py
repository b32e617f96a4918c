"""The one style of all plots: sizes, colours, labels at the ends of lines, and files that are the same at every drawing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench.errors import UserError, install
from suder_bench.runs.jsonl import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours that colour-blind readers tell apart, without the yellow that vanishes on paper; black is the headline's."""

GREY = "#555555"
"""Of axes and notes."""

COLUMN, PAGE = 3.35, 6.9
"""Width of a paper's column and of both, in inches, so that a point of a font stays a point in print."""

PANEL = (3.2, 2.3)
"""Width and height in inches."""

LETTERS = 19
"""Of a note below the panels, per inch."""

LABEL = 0.075
"""The height of a label as a share of its panel's."""

STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.0,
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "suder-bench",
}
_METADATA: Any = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None, "Producer": None}}
"""What matplotlib would write of when, and by which version of it."""


class NotInstalledError(UserError):
    """Nothing can be drawn without matplotlib; all else is done, so that it is a failure, not a mistake."""

    status = 1


def check_installed(file: Path) -> None:
    """Raises `NotInstalledError` without matplotlib, which `file` needs."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise NotInstalledError(f"{file} needs matplotlib; {install('train')}") from None


def blank(width: float, height: float) -> Figure:
    """An empty figure of so many inches, whose parts are laid out without overlap. To be drawn and saved inside
    `rc_context(STYLE)`."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = unlaid(width, height)
    figure.set_layout_engine(ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06))
    return figure


def unlaid(width: float, height: float) -> Figure:
    """The same, whose parts stay where they are put."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=200)
    FigureCanvasAgg(figure)
    return figure


def settled(figure: Figure) -> Figure:
    """The figure with its parts laid out once and for all, where it is saved in several formats."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def save(figure: Figure, file: Path) -> None:
    """Write the figure in one piece, in the format of the file's ending; equal figures make equal files."""
    ending = file.suffix[1:]
    content = io.BytesIO()
    figure.savefig(content, format=ending, metadata=_METADATA[ending])
    replace_file(file, content.getvalue())


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places for labels at least `gap` apart, in the order of the wanted ones and as near to them as that allows."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[tuple[float, list[int]]] = []  # (centre, members): touching labels move as one
    for index in order:
        centre, members = wanted[index], [index]
        while blocks and centre - blocks[-1][0] < gap * (len(members) + len(blocks[-1][1])) / 2:
            other, others = blocks.pop()
            centre = (centre * len(members) + other * len(others)) / (len(members) + len(others))
            members = [*others, *members]
        blocks.append((centre, members))
    places = [0.0] * len(wanted)
    for centre, members in blocks:
        for position, index in enumerate(members):
            places[index] = centre + gap * (position - (len(members) - 1) / 2)
    return places


def label_ends(ax: Axes, ends: Sequence[tuple[float, float, str, str]], gap: float = LABEL) -> None:
    """Name lines to the right of the panel, with a dotted lead to the end of each: (x, y, name, colour), black ones in bold.

    `gap` is the height of a label as a share of the panel's.
    """
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    edge = right + 0.05 * (right - left)
    places = spread([y for _, y, _, _ in ends], gap * (top - bottom))
    for (x, y, name, color), place in zip(ends, places, strict=True):
        ax.plot([x, right, edge], [y, y, place], color=color, linewidth=0.7, linestyle=":", clip_on=False)
        ax.text(edge, place, f" {name}", va="center", fontsize=7, fontweight="bold" if color == "black" else "normal")
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
