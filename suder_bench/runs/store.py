"""The run folder: one model on one suite, on disk.

    run.json                       the recipe of the score
    responses/<benchmark>/*.jsonl  append-only, a line per response; a picture is on disk before its line
    images/<benchmark>/...         in the benchmark's own layout
    images/.seen/<benchmark>/*     which pictures were seen to be whole, by size and time of change (`runs.seen`)
    verdicts/<benchmark>/*.jsonl   append-only, keyed by response digest and judges
    verdicts/known_answers.jsonl   which judges have passed theirs
    verdicts/judges.jsonl          who has judged a benchmark
    replies/*.jsonl                what judges behind an address replied, and what it took
    speed.json                     how long its stages took
    commands/*.jsonl               which commands worked on it, with which code and packages, on which kind of machine
    summary.json                   its counts of failed and skipped responses tell whether something lacks
    manifest.json                  written last: a sha256 of all of these but pictures, whose digests are in the responses

Pictures and JSON documents appear in one piece; a torn last line is dropped and its response made again.
"""

from __future__ import annotations

import itertools
import math
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from suder_bench import locks, partial
from suder_bench.errors import UserError, refused
from suder_bench.records import Response, Verdict
from suder_bench.remote.books import Books
from suder_bench.runs import scanned, shapes, signed
from suder_bench.runs.compact import Compact
from suder_bench.runs.encoding import encoded, text_digest
from suder_bench.runs.jsonl import ALONE, Ledger, Line, Row, document, plain, read_object, replace_file
from suder_bench.runs.responses import Columns, Key
from suder_bench.runs.seen import Seen
from suder_bench.terms import USUAL, Terms

Verdicts = dict[tuple[str, int, str], Verdict]
"""By (sample, repeat, response digest)."""

PARTS = ("run.json", "manifest.json", "responses", "images", "verdicts", "replies", "commands", "speed.json", "summary.json")
_LOCK = ".lock"
_WRITERS = ".*.writer"
LARGEST = 64 * 2**20
"""Bytes of a JSON document."""
LOOK, LOOKS = 0.2, 15
"""Seconds between two tries for a lock that others hold for a short while, and after how many a wait is told."""

_FIELDS = tuple(field.name for field in fields(Response))
_IS_RESPONSE, _IS_VERDICT = shapes.fits(shapes.RESPONSE), shapes.fits(shapes.VERDICT)


@dataclass(frozen=True)
class RunFolder:
    """`writer` names this process among several that write here; `ALONE` is the name of the only one."""

    path: Path
    writer: str = ALONE
    remembered: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """By benchmark, what its readers want to read only once."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process, and remove what a killed one left half written.

        Raises `UserError` when another process holds it, for what is no folder, and for one that cannot be written.
        """
        with ExitStack() as held:
            try:
                self._take(held)
            except locks.HeldError:
                raise UserError(f"{self.path} is in use by another process; wait for it, or choose another --out") from None
            for file in self.path.glob(_WRITERS):
                if locks.is_held(file):
                    name = file.name[1:].removesuffix(".writer")
                    raise UserError(f"{self.path} is in use by {name}; wait for it, or choose another --out")
            self._sweep()
            yield

    @contextmanager
    def shared(self, say: Callable[[str], None]) -> Iterator[None]:
        """Be one of several processes that write here, each its own files. Raises `UserError` as `locked` does."""
        with ExitStack() as held:
            with self.briefly(say):
                try:
                    held.enter_context(locks.locked(self.path / _WRITERS.replace("*", self.writer)))
                except locks.HeldError:
                    raise UserError(f"{self.writer} is at work in {self.path} already; wait for it") from None
                with suppress(OSError):
                    self._partial.unlink(missing_ok=True)
            yield

    @contextmanager
    def briefly(self, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the folder for a short while, once another process that holds it lets it go; `say` is told of a wait."""
        with ExitStack() as held:
            for tries in itertools.count(1):
                with suppress(locks.HeldError):
                    self._take(held)
                    break
                if tries == LOOKS:
                    say(f"waiting for another process that holds {self.path}")
                time.sleep(LOOK)
            yield

    def _take(self, held: ExitStack) -> None:
        """Take the folder's lock until `held` lets go. Raises `HeldError`, and `UserError` where there can be no such folder."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            held.enter_context(locks.locked(self.path / _LOCK))
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"'{self.path}' is no folder and cannot become one; choose another --out") from None
        except OSError as error:
            raise refused(error, self.path) from None

    def in_use(self) -> bool:
        """Whether a process holds the folder."""
        return locks.is_held(self.path / _LOCK)

    def check_is_run(self, *, fresh: bool) -> None:
        """Raises `UserError` when the folder holds other things than a run, which must not be mixed or deleted.

        What a run left behind without its run.json may be deleted by `fresh`, and only by it.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; choose another --out")
        if (self.path / "run.json").is_file() or not self.path.exists():
            return
        found = sorted(entry.name for entry in self.path.iterdir() if entry.name[0] != ".")
        strange = [name for name in found if name not in PARTS]
        if strange:
            raise UserError(f"{self.path} is not a run folder (no run.json, but {strange[0]}); choose another --out")
        if found and not fresh:
            raise UserError(f"{self.path} has {found[0]} but no run.json; start over with --fresh, or choose another --out")

    def clear(self) -> None:
        """Remove everything a run wrote, run.json last, and nothing else.

        A part that is a link to a folder stays one, and loses the benchmarks that it holds for this run.
        """
        benchmarks = self._benchmarks()
        try:
            for part in (*PARTS[1:], PARTS[0]):
                path = self.path / part
                if path.is_symlink() and path.is_dir():
                    for name in benchmarks:
                        _remove(path / name)
                else:
                    _remove(path)
        except OSError as error:
            raise refused(error) from None

    def read(self, name: str = "run.json") -> dict[str, Any] | None:
        """run.json or summary.json, or None where there is none yet. Raises `UserError` for one that is not what a run writes."""
        file = self.path / name
        if not file.is_file():
            return None
        try:
            if (size := file.stat().st_size) > LARGEST:
                raise ValueError(f"it has {size:,} bytes, and no run writes more than {LARGEST:,}")
            content = read_object(file.read_bytes())
            if name == "run.json":
                shapes.check_recipe(content)
            elif name == "summary.json":
                shapes.check(content, shapes.SUMMARY)
        except ValueError as error:
            folder = shlex.quote(str(self.path))
            anew = f"make it anew with: suder-bench score {folder}"
            over = f"start over with: suder-bench run ... --fresh --out {folder}, or choose another folder"
            way = anew if name == "summary.json" else over
            raise UserError(f"{file} is not readable ({error}); {way}") from None
        except OSError as error:
            raise refused(error, file) from None
        return content

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write run.json or summary.json in one piece."""
        replace_file(self.path / name, document(content).encode())

    def withdraw_summary(self) -> None:
        """A summary must not outlive what it sums up."""
        (self.path / "summary.json").unlink(missing_ok=True)

    def responses(
        self, benchmark: str, *, repair: bool, pictures: bool = True, lost: Callable[[str], None] = lambda why: None
    ) -> Columns:
        """The whole responses, one per key: what cannot be read, or lost its picture, counts as not made.

        With `repair` the rest is removed from disk too, which needs the lock; `lost` is told of each, and why. Without
        `pictures` these are not decoded, and taken for what their lines say.
        """
        found = Columns(benchmark)

        def take(response: Response) -> bool:
            key = response.sample, response.repeat
            if key in found:
                return False
            found[key] = response
            return True

        self.each_response(benchmark, take, repair=repair, pictures=pictures, lost=lost)
        return found

    def each_response(
        self,
        benchmark: str,
        take: Callable[[Response], bool],
        *,
        repair: bool = False,
        pictures: bool = True,
        gone: set[Key] | None = None,
        lost: Callable[[str], None] = lambda why: None,
    ) -> None:
        """`responses`, one at a time: `take` says of each whether it is to stay on disk. With `gone` one that lost its picture is
        noted there, and taken all the same."""
        seen = self._seen(benchmark) if pictures or gone is not None else None

        def keep(lines: Sequence[Line]) -> Iterator[bool]:
            read = [read_response(benchmark, line) for line in lines]
            for before, response in zip(read, seen.checked(read, note=repair) if seen else read, strict=True):
                if gone is not None and before is not response and isinstance(before, Response):
                    gone.add((before.sample, before.repeat))
                    response = before
                if isinstance(response, str):
                    lost(response)
                    yield False
                else:
                    yield take(response)

        Ledger(self.path / "responses" / benchmark, self.writer).sift(keep, repair=repair)

    def add_responses(self, benchmark: str, responses: list[Response]) -> None:
        Ledger(self.path / "responses" / benchmark, self.writer).append(map(_row_of, responses))
        self._seen(benchmark).note([response for response in responses if response.image is not None])

    def save_picture(self, picture: Image.Image, relative: str) -> str:
        """Save as PNG in one piece below the run folder; returns the digest."""
        content, digest = encoded(picture)
        self.save_encoded(content, relative)
        return digest

    def save_encoded(self, content: bytes, relative: str) -> None:
        """Save what `encoded` made, in one piece below the run folder."""
        replace_file(self.path / relative, content, partial=self._picture_partial())

    def save_text(self, text: str, relative: str) -> None:
        """Save a side file that a benchmark's layout keeps beside its pictures, if it is not there."""
        if not (self.path / relative).is_file():
            replace_file(self.path / relative, text.encode(), partial=self._picture_partial())

    def verdicts(
        self, benchmark: str, judges: Container[str], *, repair: bool, lost: Callable[[str], None] = lambda why: None
    ) -> Verdicts:
        """The verdicts filed under one of the keys `judges`, by (sample, repeat, response digest).

        One that was edited since it was written, as its checksum tells, counts as not made, and so does one without a
        checksum. With `repair` such and doubled ones are removed from disk, which needs the lock; `lost` is told of them.
        """
        found: Verdicts = {}

        def take(verdict: Verdict) -> bool:
            return found.setdefault((verdict.sample, verdict.repeat, verdict.digest), verdict) is verdict

        self.each_verdict(benchmark, judges, take, repair=repair, lost=lost)
        return found

    def stamp(self, benchmark: str) -> tuple[object, ...]:
        """Changes with the files of a benchmark's verdicts."""
        return Ledger(self.path / "verdicts" / benchmark).stamp()

    def each_verdict(
        self,
        benchmark: str,
        judges: Container[str],
        take: Callable[[Verdict], bool],
        *,
        repair: bool = False,
        lost: Callable[[str], None] = lambda why: None,
    ) -> bool:
        """`verdicts`, one at a time: `take` says of each whether it is to stay on disk. Returns whether all are to stay."""
        compact, without = Compact(), 0

        def keep(line: Line) -> bool:
            scan = scanned.verdict(line.content)
            if scan is None:
                return keep_read(line)
            if scan[scanned.JUDGES].decode() not in judges:
                return True
            verdict = compact.scanned(benchmark, scan) if signed.stands(line.content) else None
            if verdict is None:
                return keep_read(line)
            return take(verdict)

        def keep_read(line: Line) -> bool:
            nonlocal without
            row = line.row()
            if row is not None and isinstance(row.get("judges"), str) and row["judges"] not in judges:
                return True
            if row is not None and "checksum" not in row:
                without += 1
                return False
            try:
                check_verdict(row, line.content)
            except shapes.ShapeError as error:
                lost(f"{line.place}: no verdict ({error})")
                return False
            assert row is not None
            return take(compact.verdict(benchmark, row, line.content))

        ledger = Ledger(self.path / "verdicts" / benchmark, self.writer)
        whole = ledger.sift(lambda lines: map(keep, lines), repair=repair)
        if without:
            lost(f"{ledger.folder}: {without:,} verdicts without a checksum, as versions before wrote them, count as not made")
        return whole

    def drop_verdicts(self, benchmark: str, judges: Container[str]) -> None:
        """Remove those that are filed under one of the keys `judges`; needs the lock."""
        self.each_verdict(benchmark, judges, lambda verdict: False, repair=True)

    def add_verdicts(self, benchmark: str, judges: str, verdicts: Sequence[Verdict]) -> None:
        rows = ({"judges": judges, **verdict_row(verdict)} for verdict in verdicts)
        Ledger(self.path / "verdicts" / benchmark, self.writer).append_lines(signed.line(row) for row in rows)

    def seat(self, benchmark: str, judges: Mapping[str, Any]) -> None:
        """Note who judges a benchmark, so that these verdicts are known for theirs when others have judged it too."""
        if judges not in self.seated(benchmark):
            self._seating.append([{"benchmark": benchmark, "judges": judges}])

    def seated(self, benchmark: str) -> list[dict[str, Any]]:
        """What the summary said of all who have ever judged a benchmark here, the first first."""
        rows = (row for row in self._seating.rows() if row.get("benchmark") == benchmark)
        return [row["judges"] for row in rows if shapes.fits(shapes.SEATED)(row.get("judges"))]

    @property
    def _seating(self) -> Ledger:
        return Ledger(self.path / "verdicts", "judges" if self.writer == ALONE else f"judges.{self.writer}")

    def books(self, terms: Terms = USUAL, *, anew: bool = False) -> Books:
        """What judges behind an address were asked for this run; `terms` say what they may take. With `anew` they are asked again
        what they have been asked before."""
        return Books(Ledger(self.path / "replies", self.writer), terms.budget, terms.prices, anew=anew)

    def judged(self, benchmark: str, shown: Container[Key]) -> tuple[set[str], list[tuple[str, Verdict]]]:
        """Under which keys of judges verdicts are filed, and those on the responses `shown` with these keys, in their order, for
        whoever only shows them."""
        keys: set[str] = set()
        found: list[tuple[str, Verdict]] = []
        compact = Compact()
        for line in Ledger(self.path / "verdicts" / benchmark).lines():
            scan = scanned.verdict(line.content)
            if scan is not None and signed.stands(line.content):
                judges, sample, repeat = scan[scanned.JUDGES], scan[scanned.SAMPLE], scan[scanned.REPEAT]
                keys.add(judges.decode())
                if (sample.decode(), int(repeat)) not in shown:
                    continue
                if (verdict := compact.scanned(benchmark, scan)) is not None:
                    found.append((judges.decode(), verdict))
                    continue
            row = line.row()
            with suppress(shapes.ShapeError):
                check_verdict(row, line.content)
                assert row is not None
                keys.add(row["judges"])
                if (row["sample"], row["repeat"]) in shown:
                    found.append((row["judges"], compact.verdict(benchmark, row, line.content)))
        return keys, found

    @property
    def _partial(self) -> Path:
        return self.path / "images" / (".partial" if self.writer == ALONE else f".{self.writer}.partial")

    def _picture_partial(self) -> Path:
        self._partial.parent.mkdir(exist_ok=True)
        return self._partial

    def _seen(self, benchmark: str) -> Seen:
        return Seen(self.path, benchmark, self.writer)

    def _benchmarks(self) -> list[str]:
        """What run.json, however damaged, names as its benchmarks and may name a folder."""
        try:
            found = read_object((self.path / "run.json").read_bytes()).get("benchmarks")
        except (OSError, ValueError):
            return []
        return [name for name in found if PurePosixPath(name).name == name] if isinstance(found, dict) else []

    def _sweep(self) -> None:
        """Needs the lock: nobody else writes in here."""
        with suppress(OSError):
            for left in (self.path / "images").glob(".*partial"):
                left.unlink(missing_ok=True)
        for folder in (self.path, *self.path.glob("responses/*/"), *self.path.glob("verdicts/*/")):
            partial.sweep(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_response(benchmark: str, line: Line) -> Response | str:
    """The response of a line, its picture unseen, or why there is none."""
    try:
        response = scanned.response(benchmark, line.content) or _of_row(benchmark, line.row())
    except shapes.ShapeError as error:
        return f"{line.place}: no response ({error})"
    if response.text is not None and text_digest(response.text) != response.digest:
        return f"{line.place}: the text of {response.sample}, repeat {response.repeat}, is damaged"
    return response


def check_verdict(row: Row | None, content: bytes) -> None:
    """Raises `ShapeError` for a line that is no verdict as it was written."""
    if row is None:
        raise shapes.ShapeError("it is not a JSON object")
    if not _IS_VERDICT(row):
        shapes.check(row, shapes.VERDICT)
    if not signed.stands(content) and row.get("checksum") != signed.checksum(row):
        raise shapes.ShapeError("it was changed after it was written: its checksum is another's")


def _of_row(benchmark: str, row: Row | None) -> Response:
    """Raises `ShapeError` for what is no row that a run wrote."""
    if row is None:
        raise shapes.ShapeError("it is not a JSON object")
    if not _IS_RESPONSE(row):
        shapes.check(row, shapes.RESPONSE)
    if strange := row.keys() - set(_FIELDS):
        raise shapes.ShapeError(f"it has an unknown key {min(strange)!a}")
    if row["benchmark"] != benchmark:
        raise shapes.ShapeError(f"it is one of {row['benchmark']!a}")
    image = row.get("image")
    if (image is None) == (row.get("text") is None):
        raise shapes.ShapeError("it has not either a text or a picture")
    if image is not None and (image.startswith("/") or ".." in image.split("/")):
        raise shapes.ShapeError("its picture lies outside the run folder")
    return Response(**row | {"benchmark": benchmark, "sample": sys.intern(row["sample"])})


def _row_of(response: Response) -> Row:
    return {name: value for name in _FIELDS if (value := getattr(response, name)) is not None}


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
