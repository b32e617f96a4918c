"""MMBench from lmms-lab/MMBench's parquet files, one folder a language; the tables are the official form."""

from __future__ import annotations

from pathlib import Path

from suder_bench.evaluators.answers.fields import ID, TEXT, Fields, Row, id_text, with_fields
from suder_bench.evaluators.forms import hub
from suder_bench.evaluators.forms.found import PICTURE, Form, whole

SPLITS = {
    "official": ("en", "dev"),
    "dev-en-v11": ("en_v11", "dev"),
    "dev-cn": ("cn", "dev"),
    "dev-cn-v11": ("cn_v11", "dev"),
    "test-en": ("en", "test"),
    "test-en-v11": ("en_v11", "test"),
    "test-cn": ("cn", "test"),
    "test-cn-v11": ("cn_v11", "test"),
}
"""The hub's folder and split of a protocol; of V1.1, which lmms-lab/MMBench lacks, those that a copy laid out alike has."""

DEV, TEST = {4329: "v1.0", 4377: "the first edition, which LLaVA uses"}, {6666: "v1.0"}
ROWS = {"official": DEV, "dev-cn": DEV, "test-en": TEST, "test-cn": TEST}
"""How many rows the editions of a table have, as far as that is known."""

HUB: Fields = {"index": ID, "question": TEXT, "A": TEXT, "B": TEXT}


def find(data: Path, protocol: str) -> Form | None:
    """The rows of the protocol's table, texts but for `PICTURE`, or None.

    Raises `UserError` for another number of them than its editions have, but for the world's and V1.1's, whose is not known."""
    files = hub.shards(data, "mmbench", *SPLITS[protocol])
    if not files:
        return None
    rows = [(place, with_fields(row, place, HUB)) for place, row in hub.rows(files)]
    form = Form([_row(row, place) for place, row in hub.referred(rows, "index")], files)
    return whole(form, data, ROWS[protocol], "rows") if protocol in ROWS else form


def edition(protocol: str, rows: int, *, world: bool = False) -> str:
    """Which edition a table with so many rows is, in words that follow their number, or that it is none that is known."""
    known = ROWS.get(protocol, {})
    if rows in known:
        return f": {known[rows]}"
    others = " or ".join(f"{count:,}" for count in known)
    return f", where the table has {others}" if others and not world else ""


def _row(row: Row, place: str) -> Row:
    kept = {
        name.lower() if name.startswith("L2") else name: value for name, value in row.items() if not name.startswith(hub.IMAGE)
    }
    return {name: "" if value is None else id_text(value) for name, value in kept.items()} | {
        PICTURE: hub.named(row[hub.PLACE], "", place)
    }
