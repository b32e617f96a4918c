"""HallusionBench from VLMEvalKit's table, which has the questions with a picture, or from the parquet files of
lmms-lab/HallusionBench, which have all."""

from __future__ import annotations

from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import Row, one_of, with_fields
from suder_bench.evaluators.forms import hub
from suder_bench.evaluators.forms.found import PICTURE, Form, table_file, whole
from suder_bench.evaluators.forms.tables import ASKED, Pictures, by_index, pictured

PICTURED, ALL = 951, 1129
PARTS = ("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id")
"""What the table's index is made of, with underscores in between."""


def find(data: Path) -> Form | None:
    """The official rows with their picture, or None. Of the table's rows `gt_answer_details` is "".

    Raises `UserError` where they are neither 951 nor 1,129, but for the world's.
    """
    file = table_file(data, "hallusionbench", "HallusionBench")
    if file is not None:
        return whole(Form(_table(file), [file]), data, [PICTURED], "rows")
    files = [*hub.shards(data, "hallusionbench", "default", "image"), *hub.shards(data, "hallusionbench", "default", "non_image")]
    if not files:
        return None
    rows = [_hub(row, place) for place, row in hub.rows(files)]
    return whole(Form(rows, files), data, [PICTURED, ALL], "rows")


def _hub(row: Row, place: str) -> Row:
    pictured = row.get("filename") or row[hub.PLACE] is not None
    return row | {PICTURE: hub.named(row[hub.PLACE], Path(row.get("filename") or "").name, place) if pictured else None}


def _table(file: Path) -> list[Row]:
    rows = by_index(pictured(file, "question", "answer"), file)
    pictures = Pictures(rows, file)
    found = []
    for name, row in rows.items():
        place = f"{file}: index {name}"
        parts = name.split("_")
        if len(parts) != len(PARTS):
            raise UserError(f"{place}: expected {'_'.join(PARTS)}, as VLMEvalKit numbers them")
        with_fields(row, place, {"answer": one_of("yes", "no")})
        image, picture = pictures.named(name)
        answer = {"gt_answer": "1" if row["answer"].lower() == "yes" else "0", "gt_answer_details": "", "filename": image}
        question = row["question"].replace(ASKED, "")
        found.append(dict(zip(PARTS, parts, strict=True)) | answer | {"question": question, PICTURE: picture})
    return found
