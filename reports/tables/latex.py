"""Tables as LaTeX with booktabs: a fragment for each, and a document that holds them all."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from suder_bench.reports.tables import lines
from suder_bench.reports.tables.layout import called
from suder_bench.reports.tables.lines import Entry, Line
from suder_bench.reports.tables.table import Table

_SPECIALS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": r"{-}",  # two in a row would be a dash
    "[": r"{[}",  # after a \\ it would be read as its argument
    "]": r"{]}",
    "*": r"{*}",
}
PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage[margin=1.5cm,landscape]{geometry}
\begin{document}
"""


def escape(text: str) -> str:
    """`text` as it is shown, on one line and in ASCII: what every TeX engine can set without a further font.

    An accent is left off its letter; any other character outside ASCII is named by its number.
    """
    shown = []
    for char in " ".join(text.split()):
        plain = unicodedata.normalize("NFKD", char)
        plain = "".join(one for one in plain if not unicodedata.combining(one))
        for one in plain if plain.isascii() else f"[U+{ord(char):04X}]":
            shown.append(_SPECIALS.get(one, one if one.isprintable() else " "))
    return "".join(shown)


def render(table: Table) -> str:
    """A `table*` that needs the package booktabs, and below it how the measured rows were made, which may go over pages."""
    width = 1 + len(table.columns)
    name = called("Table", table.number)
    caption, (kind, number) = table.title.removeprefix(f"{name}. "), name.split()
    body = [_row([Entry("Model"), *lines.header(table)])]
    for title, found in lines.groups(table):
        body += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escape(title)}}}}} \\"]
        body += [_row([_label(line), *line.entries]) for line in found]
    notes = [rf"\textsuperscript{{{sign}}} {escape(meaning)}" for sign, meaning in lines.signs(table)]
    notes += [rf"\textsuperscript{{{letter}}} {escape(text)}" for text, letter in table.footnotes.items()]
    notes += [escape(text) for text in table.notes]
    recipes = [f"{escape(label)}: " + " ".join(f"{escape(one)}." for one in recipe) for label, recipe in table.recipes]
    return "\n".join(
        [
            r"\begin{table*}[!htp]",
            r"\centering",
            rf"\renewcommand{{\tablename}}{{{kind}}}\renewcommand{{\thetable}}{{{number}}}",
            rf"\caption{{{escape(caption)}. Best in bold, second underlined.}}",
            r"\small",
            rf"\begin{{tabular}}{{p{{6.5cm}}{'r' * (width - 1)}}}",  # a label may be as long as the names of its runs
            r"\toprule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\medskip",
            r"\begin{minipage}{\linewidth}\footnotesize\raggedright\sloppy",
            *(rf"\par {note}" for note in notes),
            r"\end{minipage}",
            r"\end{table*}",
            r"{\footnotesize\raggedright\sloppy",
            *(rf"\par {one}" for one in recipes),
            r"\par}",
            "",
        ]
    )


def document(tables: Sequence[Table]) -> str:
    """A whole article of the tables, each on a page of its own."""
    return PREAMBLE + "\\clearpage\n".join(render(table) for table in tables) + "\\end{document}\n"


def _row(cells: Sequence[Entry | str]) -> str:
    return " & ".join(cell if isinstance(cell, str) else _entry(cell) for cell in cells) + r" \\"


def _label(line: Line) -> str:
    return r"\raggedright " + (r"\quad " if line.detail else "") + _entry(line.label)


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    marked = {"": text, "best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}"}[entry.rank]
    return rf"{marked}\textsuperscript{{{entry.marks}}}" if entry.marks else marked
