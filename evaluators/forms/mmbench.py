"""MMBench from lmms-lab/MMBench's parquet files, one folder a language; the tables are the official form."""

from __future__ import annotations

from pathlib import Path

from suder_bench.evaluators.answers.fields import ID, TEXT, Fields, Row, id_text, with_fields
from suder_bench.evaluators.forms import hub
from suder_bench.evaluators.forms.found import PICTURE, Form

SPLITS = {"official": ("en", "dev"), "dev-cn": ("cn", "dev"), "test-en": ("en", "test"), "test-cn": ("cn", "test")}
"""The hub's folder and split of a protocol."""

HUB: Fields = {"index": ID, "question": TEXT, "A": TEXT, "B": TEXT}


def find(data: Path, protocol: str) -> Form | None:
    """The rows of the protocol's table, texts but for `PICTURE`, or None."""
    files = hub.shards(data, "mmbench", *SPLITS[protocol]) if protocol in SPLITS else []
    return Form([_row(row, place) for place, row in hub.rows(files)], files) if files else None


def _row(row: Row, place: str) -> Row:
    with_fields(row, place, HUB)
    kept = {
        name.lower() if name.startswith("L2") else name: value for name, value in row.items() if not name.startswith(hub.IMAGE)
    }
    return {name: "" if value is None else id_text(value) for name, value in kept.items()} | {
        PICTURE: hub.named(row[hub.PLACE], "", place)
    }
