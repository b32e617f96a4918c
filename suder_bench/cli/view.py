"""`suder-bench view`: the report's pages on this machine, for run folders too large to copy small pictures of."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from suder_bench.cli import parsing
from suder_bench.errors import UserError

if TYPE_CHECKING:
    from suder_bench.reports.tables import Table

PORT = 8378


def main(argv: Sequence[str]) -> int:
    parser = parsing.Parser(
        "view",
        "Show runs in a browser: the pages that report writes, served on 127.0.0.1. Nothing is copied; pictures are read from "
        "the run folders when a page shows them. Ctrl-C ends it.",
    )
    parser.add_argument(
        "runs", metavar="RUN", type=Path, nargs="+", help="run folders, training runs, and folders of reward compare"
    )
    parser.add_argument("--port", type=parsing.port, default=PORT, metavar="N", help=f"0 takes a free one (default: {PORT})")
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="only say the address")
    arguments = parser.parse_args(argv)
    from suder_bench.reports.site import view
    from suder_bench.reports.site.documents import build
    from suder_bench.runs.screen import Screen

    tables, left_out = _tables(arguments.runs)
    site = build(arguments.runs, tables, left_out, Screen().say)
    with view.server(site, arguments.port) as server:
        address = f"http://{view.HOST}:{server.server_address[1]}/"
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if arguments.browser and (sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()):
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise KeyboardInterrupt("no longer serving") from None
    return 0


def _tables(paths: Sequence[Path]) -> tuple[list[Table], list[str]]:
    """The paper's tables, as far as the runs suffice for them."""
    from suder_bench.reports import door, measured, several, tables
    from suder_bench.reports.site.runs import is_comparison
    from suder_bench.runs.screen import Screen

    rows = measured.read([path for path in paths if not is_comparison(path)])
    rows = several.together(rows, cache(door.side), Screen().say)
    try:
        return tables.build(rows) if rows else ([], [])
    except UserError as error:
        return [], [str(error)]
