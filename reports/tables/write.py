"""The files of a report: `tables.md`, `tables.tex` that compiles, and below `tables/` each table in three formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.reports.tables import comma, latex, markdown
from suder_bench.reports.tables.table import Table
from suder_bench.runs.jsonl import replace_file

_FORMATS = {"md": markdown.render, "tex": latex.render, "csv": comma.render}


def write(tables: Sequence[Table], out: Path) -> list[Path]:
    """Write the tables into `out`; those of an earlier report that are not made anew are removed. Returns the files.

    Raises `UserError` when `out` is a file or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out '{out}' is a file; choose a folder")
    contents = {out / "tables.md": "\n".join(map(markdown.render, tables)), out / "tables.tex": latex.document(tables)}
    for table in tables:
        contents |= {out / "tables" / f"{table.name}.{ending}": render(table) for ending, render in _FORMATS.items()}
    try:
        for ending in _FORMATS:
            found = [file for kind in ("table-[0-9]", "extension-[a-z]") for file in (out / "tables").glob(f"{kind}-*.{ending}")]
            for old in set(found) - set(contents):
                old.unlink()
        for file, content in contents.items():
            replace_file(file, content.encode())
    except OSError as error:
        raise UserError(f"cannot write the report into '{out}' ({error.strerror or error}); choose another --out") from None
    return list(contents)
