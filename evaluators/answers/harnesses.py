"""What VLMEvalKit and lmms-eval leave behind: tables of predictions and logs of samples, read without either of them.

A table has a row a question with its `index` and the model's `prediction`: .xlsx, .tsv, .csv or .json, which VLMEvalKit's
PRED_FORMAT chooses, and MMBench's upload form. A log is what lmms-eval 0.7 writes with --log_samples, JSON lines called
`*_samples_TASK.jsonl`: `doc_id`, `input`, `target`, `filtered_resps`, and under the names of the task's metrics what these were
computed from; earlier versions kept the question's whole row as `doc`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from suder_bench.errors import MissingAnswers, UserError
from suder_bench.evaluators.answers.fields import ID, TEXT, Fields, Kind, Row, id_text, shown, with_fields
from suder_bench.evaluators.answers.files import placed_rows
from suder_bench.evaluators.answers.tables import SUFFIXES, table

CELL = 32_767
"""Characters in a cell of a workbook at most: what is longer is cut there by one writer, and left out by another."""

PREDICTED: Fields = {"index": ID, "prediction": TEXT}
NUMBER = Kind("a whole number from 0", lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0)
LOGGED: Fields = {"doc_id": NUMBER}
RESPONSES = "filtered_resps"


@dataclass(frozen=True)
class Given:
    """An answer as a harness wrote it: `place` starts a message about it, `name` is the harness's own id of the question, and
    `row` is everything that it wrote."""

    place: str
    name: str
    text: str
    row: Row


@dataclass(frozen=True)
class Answers:
    """A file of answers: a harness's `table` of predictions or `log` of samples, or neither: then what its lines or its list
    hold, each with its place."""

    table: list[Given] | None = None
    log: list[Given] | None = None
    placed: Sequence[tuple[str, Row]] = ()

    def rows(self, fields: Fields) -> list[Row]:
        """The objects, each holding `fields`. Raises `UserError` with the place of one that does not."""
        return [with_fields(row, place, fields) for place, row in self.placed]


def read(file: Path) -> Answers:
    """What kind of file it is, and what it holds.

    Raises `UserError` with file and row for a table that lacks index or prediction, for a pickle, which could run code, and with
    file and line where a log answers a document twice, or by likelihoods.
    """
    if file.suffix.lower() in (".pkl", ".pickle"):
        raise UserError(
            f"{file}: pickles can run code and are not read; VLMEvalKit writes tables by PRED_FORMAT=xlsx, tsv or json"
        )
    if file.suffix.lower() in SUFFIXES:
        rows = [(f"{file}: row {number}", row) for number, row in enumerate(table(file, *PREDICTED), start=1)]
        return Answers(table=[_predicted(place, row) for place, row in rows])
    rows = placed_rows(file)
    if PREDICTED.keys() <= rows[0][1].keys():
        return Answers(table=[_predicted(place, _as_in_a_table(with_fields(row, place, PREDICTED))) for place, row in rows])
    return Answers(log=_logged(rows)) if is_log(rows[0][1]) else Answers(placed=rows)


Reader = TypeVar("Reader")
Found = TypeVar("Found")


def read_once(read: Callable[[Reader, Path], Found]) -> Callable[[Reader, Path], Found]:
    """A method that reads a file of answers: of the file that it read last it gives what it gave, while that is what it was.
    Scores and remarks ask for the same one, and what was read of it is too much to keep of several."""
    name = f"_last_{read.__name__}"

    @wraps(read)
    def remembered(self: Reader, file: Path) -> Found:
        status = file.stat() if file.is_file() else None
        stamp = (file, status and (status.st_size, status.st_mtime_ns, status.st_ino))
        kept = vars(self).get(name)
        if kept is None or kept[0] != stamp:
            try:
                kept = (stamp, read(self, file), None)
            except MissingAnswers as error:
                kept = (stamp, None, error)
            vars(self)[name] = kept
        _, found, missing = kept
        if missing is not None:
            raise missing
        return cast(Found, found)

    return remembered


def _predicted(place: str, row: Row) -> Given:
    """A row with texts in every column."""
    return Given(place, row["index"].removesuffix(".0"), row["prediction"], row)


def _as_in_a_table(row: Row) -> Row:
    """The cells as texts, empty for null and NaN, which is what pandas writes for a cell that was empty."""
    return {name: "" if value is None or value != value else id_text(value) for name, value in row.items()}


def is_log(row: Mapping[str, Any]) -> bool:
    return {"doc_id", RESPONSES} <= row.keys()


def _logged(rows: Iterable[tuple[str, Row]]) -> list[Given]:
    """The lines of a log of samples, in the order of their documents."""
    found: dict[int, Given] = {}
    for place, row in rows:
        number = with_fields(row, place, LOGGED)["doc_id"]
        if number in found:
            raise UserError(f"{place}: document {number} for the second time; give the log of one run of one task")
        found[number] = Given(place, str(number), _response(row, place), row)
    return [found[number] for number in sorted(found)]


def _response(row: Row, place: str) -> str:
    response = row.get(RESPONSES)
    if isinstance(response, list) and len(response) == 1:
        response = response[0]
    if not TEXT.holds(response):
        raise UserError(f"{place}: {RESPONSES!r} is {shown(response)}; expected one text, as tasks that generate log it")
    return str(response)


def kept(given: Given, fields: Fields) -> Row:
    """What a log's line keeps of its question: the first object in it, a metric's or the document, that has `fields`."""
    objects = [value for value in given.row.values() if isinstance(value, dict)]
    whole = next((value for value in objects if fields.keys() <= value.keys()), None)
    if whole is None:
        names = ", ".join(map(repr, fields))
        raise UserError(f"{given.place}: nothing logged holds {names}; is this the log of another task?")
    return with_fields(whole, given.place, fields)


def remarks(texts: Iterable[str], file: Path, what: str = "") -> list[str]:
    """What a reader of the score should know of answers: how many are empty, and how many a workbook may have cut.

    `what` says what empty answers count as.
    """
    texts = list(texts)
    empty = sum(not text.strip() for text in texts)
    cut = sum(len(text) >= CELL for text in texts) if file.suffix.lower() == ".xlsx" else 0
    told = f", which {'count' if empty > 1 else 'counts'} as {what}" if what else ""
    filled = f"{cut:,} of {len(texts):,} answers fill their cell of {CELL:,} characters, so that their ends are lost"
    return [
        *([f"{empty:,} of {len(texts):,} answers {'are' if empty > 1 else 'is'} empty{told}"] if empty else []),
        *([filled] if cut else []),
    ]
