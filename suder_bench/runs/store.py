"""The run folder: one model on one suite, on disk.

    run.json                       the recipe of the score
    responses/<benchmark>/*.jsonl  append-only, a line per response; a picture is on disk before its line
    images/<benchmark>/...         in the benchmark's own layout
    verdicts/<benchmark>/*.jsonl   append-only, keyed by response digest and judges
    summary.json                   written last; its counts of failed and skipped responses tell whether something lacks

Pictures and JSON documents appear in one piece; a torn last line is dropped and its response made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from suder_bench.errors import PictureError, UserError
from suder_bench.records import Response, Verdict, open_image
from suder_bench.runs.jsonl import Ledger, Row, document, plain, replace_file

Key = tuple[str, int]
"""A response's place in its benchmark: (sample id, repeat)."""

_PARTS = ("run.json", "responses", "images", "verdicts", "summary.json")
_LOCK = ".lock"


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def picture_digest(picture: Image.Image) -> str:
    """sha256 of width, height and RGB pixels, whatever the file format."""
    size = f"{picture.width}x{picture.height}:".encode()
    return hashlib.sha256(size + picture.convert("RGB").tobytes()).hexdigest()


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; the system frees it when the process ends, however it ends.

        Raises `UserError` when another process holds it, and for what is no folder.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"'{self.path}' is no folder and cannot become one; choose another --out") from None
        descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{self.path} is in use by another process; wait for it, or choose another --out") from None
            yield
        finally:
            os.close(descriptor)

    def check_is_run(self, *, fresh: bool) -> None:
        """Raises `UserError` when the folder holds other things than a run, which must not be mixed or deleted.

        What a run left behind without its run.json may be deleted by `fresh`, and only by it.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; choose another --out")
        if (self.path / "run.json").is_file() or not self.path.exists():
            return
        found = sorted(entry.name for entry in self.path.iterdir() if entry.name[0] != ".")
        strange = [name for name in found if name not in _PARTS]
        if strange:
            raise UserError(f"{self.path} is not a run folder (no run.json, but {strange[0]}); choose another --out")
        if found and not fresh:
            raise UserError(f"{self.path} has {found[0]} but no run.json; start over with --fresh, or choose another --out")

    def clear(self) -> None:
        """Remove everything a run wrote, run.json last, and nothing else."""
        for part in (*_PARTS[1:], _PARTS[0]):
            path = self.path / part
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def read(self, name: str = "run.json") -> dict[str, Any] | None:
        """run.json or summary.json, or None where there is none yet."""
        file = self.path / name
        if not file.is_file():
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError("it holds no object")
        except ValueError as error:
            raise UserError(f"{file} is not readable ({error}); start over with --fresh, or choose another --out") from None
        return content

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write run.json or summary.json in one piece."""
        replace_file(self.path / name, document(content).encode())

    def withdraw_summary(self) -> None:
        """A summary must not outlive what it sums up."""
        (self.path / "summary.json").unlink(missing_ok=True)

    def responses(self, benchmark: str, *, repair: bool, lost: Callable[[str], None] = lambda why: None) -> dict[Key, Response]:
        """The whole responses, one per key: what cannot be read, or lost its picture, counts as not made.

        With `repair` the rest is removed from disk too, which needs the lock; `lost` is told of each, and why.
        """
        ledger = Ledger(self.path / "responses" / benchmark)
        rows = ledger.rows()
        with ThreadPoolExecutor() as pool:
            read = dict(zip(map(_identity, rows), pool.map(self._read_response, rows), strict=True))
        found: dict[Key, Response] = {}

        def keep(row: Row) -> bool:
            response = read[_identity(row)]
            if isinstance(response, str):
                lost(response)
                return False
            if (response.sample, response.repeat) in found:
                return False
            found[response.sample, response.repeat] = response
            return True

        if repair:
            ledger.repair(keep)
        else:
            for row in rows:
                keep(row)
        return found

    def add_responses(self, benchmark: str, responses: list[Response]) -> None:
        Ledger(self.path / "responses" / benchmark).append(
            {name: value for name, value in asdict(response).items() if value is not None} for response in responses
        )

    def save_picture(self, picture: Image.Image, relative: str) -> str:
        """Save as PNG in one piece below the run folder, turned as it was; returns the digest."""
        content = io.BytesIO()
        picture = picture.convert("RGB")
        turned = {"exif": picture.getexif()} if picture.getexif() else {}
        picture.save(content, format="PNG", **turned)
        replace_file(self.path / relative, content.getvalue(), partial=self._images() / ".partial")
        return picture_digest(picture)

    def save_text(self, text: str, relative: str) -> None:
        """Save a side file that a benchmark's layout keeps beside its pictures, if it is not there."""
        if not (self.path / relative).is_file():
            replace_file(self.path / relative, text.encode(), partial=self._images() / ".partial")

    def verdicts(self, benchmark: str, judges: str, *, repair: bool) -> dict[tuple[str, int, str], Verdict]:
        """The verdicts made with these judges, by (sample, repeat, response digest).

        With `repair` doubled and damaged ones are removed from disk, which needs the lock.
        """
        found: dict[tuple[str, int, str], Verdict] = {}

        def keep(row: Row) -> bool:
            try:
                verdict = read_verdict(benchmark, row)
            except (TypeError, KeyError, AttributeError):
                return False
            if row.get("judges") != judges:
                return True
            return found.setdefault((verdict.sample, verdict.repeat, verdict.digest), verdict) is verdict

        ledger = Ledger(self.path / "verdicts" / benchmark)
        if repair:
            ledger.repair(keep)
        else:
            for row in ledger.rows():
                keep(row)
        return found

    def add_verdicts(self, benchmark: str, judges: str, verdicts: list[Verdict]) -> None:
        Ledger(self.path / "verdicts" / benchmark).append({"judges": judges, **verdict_row(verdict)} for verdict in verdicts)

    def _images(self) -> Path:
        folder = self.path / "images"
        folder.mkdir(exist_ok=True)
        return folder

    def _read_response(self, row: Row) -> Response | str:
        """The response of a line, or why there is none."""
        try:
            response = Response(**row)
            if response.image is None:
                whole = response.text is not None and text_digest(response.text) == response.digest
                return response if whole else f"the text of {response.sample}, repeat {response.repeat}, is damaged"
            file = self.path / response.image
            picture = open_image(file)
        except PictureError as error:
            return str(error)
        except (TypeError, ValueError) as error:
            return f"a line holds no response ({error})"
        return response if picture_digest(picture) == response.digest else f"{file} is not the picture that was drawn"


def verdict_row(verdict: Verdict) -> Row:
    """A verdict as stored; its benchmark is the folder's name."""
    row = {
        "sample": verdict.sample,
        "repeat": verdict.repeat,
        "digest": verdict.digest,
        "scores": verdict.scores,
        "correct": verdict.correct,
        "reason": verdict.reason,
        "details": verdict.details,
    }
    plain_row: Row = plain(row)
    return plain_row


def read_verdict(benchmark: str, row: Row) -> Verdict:
    """The opposite of `verdict_row`, once JSON has had its say: a score that is null there is NaN here."""
    scores = {name: math.nan if value is None else float(value) for name, value in row["scores"].items()}
    kept = {name: row[name] for name in ("sample", "repeat", "digest", "correct", "reason", "details")}
    return Verdict(benchmark=benchmark, scores=scores, **kept)


def _identity(row: Row) -> str:
    return json.dumps(row, sort_keys=True)
