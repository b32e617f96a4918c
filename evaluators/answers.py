"""Files of questions and of answers made elsewhere: read, checked, and paired with a benchmark's samples by id."""

from __future__ import annotations

import csv
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError
from suder_bench.records import Sample

Row = dict[str, Any]


def json_lines(file: Path, *fields: str) -> list[Row]:
    """The objects of a JSON-lines file, each holding at least `fields`; a comma after a line's object is forgiven."""
    rows = []
    for number, line in enumerate(_text(file).split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line.strip().rstrip(","))
            except json.JSONDecodeError as error:
                raise UserError(f"{file}:{number}: not JSON: {error}") from None
            rows.append(with_fields(row, f"{file}:{number}", *fields))
    return rows


def json_document(file: Path) -> Any:
    """The value of a JSON file. Trailing commas before a closing bracket are forgiven, as official files hold some."""
    text = _text(file)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        try:
            return json.loads(re.sub(r",(?=\s*[\]}])", "", text.strip().rstrip(",")))
        except json.JSONDecodeError:
            raise UserError(f"{file}: not JSON: {error}") from None


def table(file: Path, *fields: str) -> list[Row]:
    """The rows of a table with a header, as strings: tab-separated, or comma-separated if the file ends in .csv.

    Cells may be megabytes long (pictures in base64).
    """
    csv.field_size_limit(sys.maxsize)
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows: list[Row] = list(csv.DictReader(stream, delimiter="," if file.suffix == ".csv" else "\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as a table: {error}") from None
    return [with_fields(row, f"{file}: row {number}", *fields) for number, row in enumerate(rows, start=1)]


def with_fields(row: object, place: str, *fields: str) -> Row:
    """`row`, if it is an object that holds `fields`; else a `UserError` that starts with `place`."""
    if not isinstance(row, dict):
        raise UserError(f"{place}: expected an object, found {quoted(str(row))}")
    missing = [name for name in fields if row.get(name) is None]
    if missing and all(name in row for name in missing):
        raise UserError(f"{place}: {', '.join(map(repr, missing))} is null")
    if missing:
        raise UserError(f"{place}: no {', '.join(map(repr, missing))}; found {', '.join(map(repr, row))}")
    return row


def pair(samples: Sequence[Sample], answers: Iterable[tuple[str, str]], file: Path) -> list[tuple[Sample, str]]:
    """Each sample with its answer, in the samples' order. Raises `UserError` on missing, doubled or unknown ids."""
    found = by_id(answers, {sample.id for sample in samples}, file)
    missing = [sample.id for sample in samples if sample.id not in found]
    if missing:
        raise UserError(
            f"{file}: {len(found):,} answers against {len(samples):,} questions; none for '{missing[0]}'"
            + (f" and {len(missing) - 1:,} more" if len(missing) > 1 else "")
        )
    return [(sample, found[sample.id]) for sample in samples]


def by_id(answers: Iterable[tuple[str, str]], known: set[str], file: Path, *, again: bool = False) -> dict[str, str]:
    """Answers keyed by id; `UserError` on one that is not `known`, and on a doubled id unless it may be answered `again`: then
    the last answer counts."""
    found: dict[str, str] = {}
    for name, text in answers:
        if name in found and not again:
            raise UserError(f"{file}: two answers to '{name}'")
        if name not in known:
            raise UserError(f"{file}: an answer to '{name}', which is no question of this benchmark")
        found[name] = text
    return found


def check_pictures(samples: Sequence[Sample], what: str) -> list[Sample]:
    """`samples`, if every picture file is there; else a `UserError` naming the first that is not."""
    files = dict.fromkeys(image for sample in samples for image in sample.images if isinstance(image, Path))
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UserError(f"{missing[0]} is missing ({len(missing):,} of {len(files):,} pictures); {what}")
    return list(samples)


def picture_folder(candidates: Sequence[Path], first: str) -> Path:
    """The first candidate that holds the picture `first`, else the first candidate."""
    return next((folder for folder in candidates if (folder / first).is_file()), candidates[0])


def id_text(value: object) -> str:
    """An id as a string, so that 12, 12.0 and "12" are the same question."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def quoted(text: str) -> str:
    """A text in quotes, shortened, for reasons and messages."""
    return repr(textwrap.shorten(text, 60, placeholder=" ...")) if text.strip() else repr(text)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from None
