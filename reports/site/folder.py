"""A site as a folder of files that opens from disk."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.reports.figures.figure import Figure
from suder_bench.reports.site.documents import Site, build
from suder_bench.reports.tables import Table
from suder_bench.runs.jsonl import replace_file
from suder_bench.runs.screen import Screen

PAGE = "index.html"


def templates() -> dict[str, bytes]:
    """The page with its style and scripts, by name."""
    folder = files("suder_bench.reports.site") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")}


def report(
    paths: Sequence[Path],
    tables: Sequence[Table],
    figures: Sequence[Figure],
    left_out: Sequence[str],
    out: Path,
    limit: int | None,
    screen: Screen,
) -> Path:
    """Write the site of a report into `out`/site, with the figures in `out`/figures; at most `limit` responses of each run
    and benchmark. Returns the page to open. Raises `UserError` for a run that is not finished, and when `out` cannot be written.
    """
    titles = {figure.name: figure.title for figure in figures}
    site = build(paths, tables, left_out, screen.say, figures=out / "figures", titles=titles, limit=limit)
    return write(site, out / "site", screen)


def write(site: Site, out: Path, screen: Screen) -> Path:
    """Write the site into the folder `out`, small copies of its pictures among it, and return its page.

    Pictures that an earlier report copied are kept; what it left there besides is replaced. Raises `UserError` when `out`
    cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / PAGE).unlink(missing_ok=True)  # a page must not show data of which half is there
        site.pictures.write(out, screen)
        for name in site.files:
            replace_file(out / name, site.read(name))
        for name, content in site.scripts.items():
            replace_file(out / "data" / f"{name}.js", content)
        _remove_old(site, out)
        shipped = templates()
        for name, content in shipped.items():
            if name != PAGE:
                replace_file(out / name, content)
        replace_file(out / PAGE, shipped[PAGE])
    except OSError as error:
        raise UserError(f"cannot write the site into '{out}' ({error.strerror or error}); choose another --out") from None
    return out / PAGE


def _remove_old(site: Site, out: Path) -> None:
    kept = {out / name for name in site.files} | {out / "data" / f"{name}.js" for name in site.scripts}
    for pattern in ("data/*.js", "figures/*", "rewards-*/*"):
        for old in set(out.glob(pattern)) - kept:
            old.unlink()
