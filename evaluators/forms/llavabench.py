"""LLaVA-Bench from VLMEvalKit's table or from lmms-lab/llava-bench-in-the-wild's parquet file; neither has the judge's rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suder_bench.evaluators.answers.fields import FILLED, ID, TEXT, TEXTS, Fields, Row, id_text, with_fields
from suder_bench.evaluators.forms import hub
from suder_bench.evaluators.forms.found import PICTURE, Form, table_file, whole
from suder_bench.evaluators.forms.tables import Pictures, by_index, pictured
from suder_bench.records import ImageSource

QUESTIONS = 60
HUB: Fields = {"question_id": ID, "question": FILLED, "category": TEXT, "caption": TEXTS, "gpt_answer": FILLED}
TABLE: Fields = {"question": FILLED, "gpt4_ans": FILLED}


def find(data: Path) -> Form | None:
    """Rows with question_id, image, category, text, caption, reference and picture, or None.

    Raises `UserError` where they are not 60, but for the world's.
    """
    file = table_file(data, "llavabench", "LLaVABench")
    if file is not None:
        return whole(Form(_table(file), [file]), data, [QUESTIONS], "questions")
    files = hub.shards(data, "llavabench", "default", "train")
    return whole(Form(_hub(files), files), data, [QUESTIONS], "questions") if files else None


def _table(file: Path) -> list[Row]:
    rows = by_index(pictured(file, "question", "caption", "gpt4_ans", "category"), file)
    for name, row in rows.items():
        with_fields(row, f"{file}: index {name}", TABLE)
    pictures = Pictures(rows, file)
    return [
        {"question_id": name, "image": image, "category": row["category"], "text": row["question"], PICTURE: picture}
        | {"caption": row["caption"], "reference": row["gpt4_ans"]}
        for name, row in rows.items()
        for image, picture in [pictures.named(name)]
    ]


def _hub(files: Sequence[Path]) -> list[Row]:
    pictures: dict[str, ImageSource] = {}
    rows = []
    for place, row in hub.rows(files):
        with_fields(row, place, HUB)
        name = _file_name(row)
        picture = hub.named(row[hub.PLACE], name, place)
        asked = {"question_id": id_text(row["question_id"]), "category": row["category"], "text": row["question"]}
        asked |= {"image": name or place, PICTURE: pictures.setdefault(name, picture) if name else picture}
        rows.append(asked | {"caption": row["caption"], "reference": row["gpt_answer"]})
    return rows


def _file_name(row: Row) -> str:
    """The hub's `image_id` is the picture's name, with or without its ending."""
    given, image = str(row.get("image_id") or ""), row.get(hub.IMAGE)
    path = (image.get("path") or "") if isinstance(image, dict) else ""
    return Path(path).name or (given if not given or Path(given).suffix else f"{given}.jpg")
