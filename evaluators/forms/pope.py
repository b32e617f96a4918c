"""POPE from VLMEvalKit's table or from lmms-lab/POPE's parquet files."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import ID, TEXT, Fields, Row, id_text, one_of, with_fields
from suder_bench.evaluators.forms import hub
from suder_bench.evaluators.forms.found import PICTURE, Form, table_file, whole
from suder_bench.evaluators.forms.tables import ASKED, Pictures, by_index, pictured
from suder_bench.records import ImageSource

TRACKS = ("random", "popular", "adversarial")
RELEASES = {9000: "the release of October 2023", 8910: "the first release, with 2,910 random questions"}
HUB: Fields = {
    "question_id": ID,
    "question": TEXT,
    "answer": one_of("yes", "no"),
    "image_source": TEXT,
    "category": one_of(*TRACKS),
}
TABLE: Fields = {"answer": one_of("yes", "no")}


def find(data: Path) -> Form | None:
    """Rows with track, question_id, image, text, label and picture, track by track in official order, or None.

    Raises `UserError` for files with other counts than POPE's two releases have.
    """
    file = table_file(data, "pope", "POPE")
    form = _hub(data) if file is None else Form(_table(file), [file])
    return form and whole(form, data, RELEASES, "questions in its tracks")


def release(tracks: Iterable[str], *, world: bool = False) -> str:
    """Which release questions of these tracks are, one by one, or how many they are instead; the world's are of none."""
    counts = dict.fromkeys(TRACKS, 0)
    for track in tracks:
        counts[track] += 1
    total = sum(counts.values())
    expected = {track: 3000 - (9000 - total if track == TRACKS[0] else 0) for track in TRACKS}
    if total in RELEASES and counts == expected:
        return f"{total:,} questions: {RELEASES[total]}"
    told = f"{total:,} questions ({', '.join(f'{track} {n:,}' for track, n in counts.items())})"
    return told if world else f"{told}, which is neither release of POPE"


def _hub(data: Path) -> Form | None:
    files = hub.shards(data, "pope", "default", "test")
    files = files or [file for track in TRACKS for file in hub.shards(data, "pope", "Full", track)]
    if not files:
        return None
    rows: list[Row] = []
    pictures: dict[str, ImageSource] = {}
    for place, row in hub.rows(files):
        with_fields(row, place, HUB)
        name = _file_name(row)
        pictures.setdefault(name, hub.named(row[hub.PLACE], name, place))
        asked = {"track": row["category"].lower(), "question_id": id_text(row["question_id"]), "image": name}
        rows.append(asked | {"text": row["question"], "label": row["answer"], PICTURE: pictures[name]})
    rows.sort(key=lambda row: (TRACKS.index(row["track"]), _number(row["question_id"])))
    return Form(rows, files)


def _file_name(row: Row) -> str:
    """COCO's name of the picture; the hub leaves its ending out."""
    source = row["image_source"]
    path = Path((row.get(hub.IMAGE) or {}).get("path") or "").name if isinstance(row.get(hub.IMAGE), dict) else ""
    return path if path.startswith(source) else source if Path(source).suffix else f"{source}.jpg"


def _number(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (0, text)


def _table(file: Path) -> list[Row]:
    """VLMEvalKit lists a question once, with all its tracks, and gives it no number: here it gets the place that it has in its
    track, where each picture's questions take turns, yes and no. A table with a line for each track keeps the official numbers;
    in another, negatives of one picture may have exchanged theirs."""
    rows = by_index(pictured(file, "question", "answer", "category"), file)
    pictures = Pictures(rows, file)
    tracks: dict[str, dict[str, dict[str, list[Any]]]] = {track: {} for track in TRACKS}
    for name, row in rows.items():
        with_fields(row, f"{file}: index {name}", TABLE)
        image, picture = pictures.named(name)
        listed = [track.strip().lower() for track in row["category"].split(",")]
        if unknown := [track for track in listed if track not in TRACKS]:
            raise UserError(f"{file}: index {name}: category '{unknown[0]}' is none of {', '.join(TRACKS)}")
        asked = {"image": image, "text": row["question"].replace(ASKED, ""), "label": row["answer"].lower(), PICTURE: picture}
        for track in listed:
            tracks[track].setdefault(image, {"yes": [], "no": []})[asked["label"]].append(asked)
    found = []
    for track, images in tracks.items():
        turns = (chain.from_iterable(zip_longest(one["yes"], one["no"])) for one in images.values())
        questions = [question for question in chain.from_iterable(turns) if question is not None]
        found += [{"track": track, "question_id": str(n)} | question for n, question in enumerate(questions, start=1)]
    return found
