"""Files of questions and of answers made elsewhere: read, checked, and paired with a benchmark's samples by id."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from suder_bench.endings import is_picture
from suder_bench.errors import MissingAnswers, MissingPictures, UserError
from suder_bench.evaluators.answers.fields import Fields, Row, with_fields
from suder_bench.evaluators.answers.fields import id_text as id_text  # their readers' other half
from suder_bench.evaluators.answers.fields import quoted as quoted
from suder_bench.records import Sample

NOTHING: Fields = {}


def json_rows(file: Path, fields: Fields = NOTHING) -> list[Row]:
    """The objects of a file, JSON lines or one JSON list, each holding `fields`; a comma after a line's object is forgiven.

    Raises `UserError` with file and line, or row of a list, for anything else, and for a file that holds none.
    """
    return [row for _, row in placed_rows(file, fields)]


def placed_rows(file: Path, fields: Fields = NOTHING) -> list[tuple[str, Row]]:
    """`json_rows` with the place of each, as a message starts: "FILE:LINE", or "FILE: row NUMBER" of a list."""
    return list(rows_in_turn(file, fields))


def rows_in_turn(file: Path, fields: Fields = NOTHING) -> Iterator[tuple[str, Row]]:
    """`placed_rows` one at a time, so that those of a large file need not be in memory together."""
    empty = True
    for place, row in _placed(file):
        empty = False
        yield place, with_fields(row, place, fields)
    if empty:
        raise UserError(f"{file} is empty; put the whole file there")


def text_lines(file: Path) -> list[str]:
    """The lines of a list of prompts or names that are not empty, without spaces at their ends.

    Raises `UserError` naming a file that cannot be read, or is no text, or holds none.
    """
    lines = [line.strip() for line in text_of(file).split("\n")]  # not splitlines, which also breaks at U+2028 and others
    if not any(lines):
        raise UserError(f"{file} is empty; put the whole official file there, or use --data world")
    return [line for line in lines if line]


def json_document(file: Path) -> Any:
    """The value of a JSON file. Trailing commas before a closing bracket are forgiven, as official files hold some."""
    return _document(file, text_of(file))


def _placed(file: Path) -> Iterator[tuple[str, Any]]:
    text = text_of(file)
    if text.lstrip().startswith("["):
        yield from ((f"{file}: row {number}", row) for number, row in enumerate(_document(file, text), start=1))
        return
    for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
        if line := line.strip():
            yield (place := f"{file}:{number}"), _value(line.rstrip(","), place)


def _document(file: Path, text: str) -> Any:
    try:
        return _value(text, str(file))
    except UserError:
        tidy = re.sub(r",(?=\s*[\]}])", "", text.strip().rstrip(","))
        if tidy == text:
            raise
        return _value(tidy, str(file))


def _value(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and lists in lists in lists
        raise UserError(f"{place}: not JSON: {error}") from None


def pair(samples: Sequence[Sample], answers: Iterable[tuple[str, str]], file: Path) -> list[tuple[Sample, str]]:
    """Each sample with its answer, in the samples' order.

    Raises `UserError` on doubled or unknown ids, and `MissingAnswers`, which holds the pairs, where some have no answer.
    """
    found = by_id(answers, {sample.id for sample in samples}, file)
    pairs = [(sample, found[sample.id]) for sample in samples if sample.id in found]
    missing = [sample.id for sample in samples if sample.id not in found]
    if missing:
        raise MissingAnswers(
            f"{file}: {len(found):,} answers against {len(samples):,} questions; none for '{missing[0]}'"
            + (f" and {len(missing) - 1:,} more" if len(missing) > 1 else "")
            + (f"; --allow-missing {len(missing)} scores the others" if found else ""),
            pairs,
            len(missing),
        )
    return pairs


def given_in(read: Callable[[Path], Sequence[tuple[Sample, str]]], file: Path) -> list[str]:
    """The answers that `read` finds in a file, though it may lack some."""
    try:
        return [text for _, text in read(file)]
    except MissingAnswers as error:
        return [text for _, text in error.found]


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
    """`samples`, if every picture file is there; else a `MissingPictures` naming the first that is not."""
    files = dict.fromkeys(image for sample in samples for image in sample.images)
    missing = dict.fromkeys(file for file in files if isinstance(file, Path) and not file.is_file())
    if missing:
        lost = [sample.id for sample in samples if not missing.keys().isdisjoint(sample.images)]
        why = f"{next(iter(missing))} is missing ({len(missing):,} of {len(files):,} pictures); {what}"
        if len(lost) < len(samples):
            why += f", or go on without {len(lost):,} of the questions by --allow-missing {len(lost)}"
        raise MissingPictures(why, samples, lost)
    return list(samples)


def picture_folder(candidates: Sequence[Path], first: str) -> Path:
    """The first candidate that holds the picture `first`, else where that is lost, one that has others beside its place, else
    the first candidate."""
    holding = (folder for folder in candidates if (folder / first).is_file())
    beside = (folder for folder in candidates if first and any(map(is_picture, (folder / first).parent.glob("*"))))
    return next(holding, None) or next(beside, candidates[0])


def text_of(file: Path) -> str:
    """The file's text, of UTF-8 with or without a mark at its start. Raises `UserError` naming it where that cannot be read."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from None
