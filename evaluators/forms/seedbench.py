"""SEED-Bench's image questions from VLMEvalKit's SEEDBench_IMG table or from lmms-lab/SEED-Bench's parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suder_bench.data.prompts import LETTERS
from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import ANY, ID, TEXT, WORDS, Fields, Row, id_text, quoted, with_fields
from suder_bench.evaluators.forms import hub
from suder_bench.evaluators.forms.found import PICTURE, Form, table_file, whole
from suder_bench.evaluators.forms.tables import Pictures, by_index, pictured

QUESTIONS = 14_232
CHOICES = ("choice_a", "choice_b", "choice_c", "choice_d")
LISTED: Fields = {"question_id": ID, "question_type_id": ID, "data_type": TEXT}
"""What questions about videos have too."""

FIELDS: Fields = {**LISTED, "question": TEXT, **dict.fromkeys(CHOICES, WORDS), "answer": ANY, "data_id": TEXT}
"""Choices that are numbers are the words for them."""


def find(data: Path, dimensions: Sequence[str]) -> Form | None:
    """The official rows with `dimension` and their picture, or None; of a question that is listed twice, both.

    Raises `UserError` where they are not 14,232 questions, but for the world's.
    """
    file = table_file(data, "seedbench", "SEEDBench_IMG")
    if file is not None:
        form = Form(_table(file, dimensions), [file])
    elif files := hub.shards(data, "seedbench", "default", "test"):
        form = Form(_hub(files, dimensions), files)
    else:
        return None
    once = Form(list({row["question_id"]: row for row in form.rows}.values()), form.files)
    whole(once, data, [QUESTIONS], "image questions")
    return form


def _table(file: Path, dimensions: Sequence[str]) -> list[Row]:
    rows = by_index(pictured(file, "question", *LETTERS, "answer", "category"), file)
    pictures = Pictures(rows, file)
    found = []
    for name, row in rows.items():
        kind = row["category"].strip().lower().replace(" ", "_")
        if kind not in dimensions or row["answer"] not in tuple(LETTERS):
            raise UserError(
                f"{file}: index {name}: answer {quoted(row['answer'])} or category {quoted(row['category'])} is unknown"
            )
        image, picture = pictures.named(name)
        choices = {choice: row[letter] for choice, letter in zip(CHOICES, LETTERS, strict=True)}
        asked = {"question_id": name, "question": row["question"], "answer": row["answer"], "data_id": image}
        found.append(asked | choices | {"dimension": kind, PICTURE: picture})
    return found


def _hub(files: Sequence[Path], dimensions: Sequence[str]) -> list[Row]:
    """The questions about videos are passed over, as in the official file."""
    found = []
    for place, row in hub.rows(files):
        if with_fields(row, place, LISTED)["data_type"] != "image":
            continue
        kind = id_text(with_fields(row, place, FIELDS)["question_type_id"])
        if row["answer"] not in tuple(LETTERS) or kind not in map(str, range(1, len(dimensions) + 1)):
            raise UserError(f"{place}: answer '{row['answer']}' or question_type_id '{kind}' is unknown")
        picture = hub.named(row[hub.PLACE], row["data_id"], place)
        found.append(row | {"question_id": id_text(row["question_id"]), "dimension": dimensions[int(kind) - 1], PICTURE: picture})
    return found
