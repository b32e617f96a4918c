"""Whether a run folder is what a run left there: every digest and number in it.

The folder's own digests find edits that do not fit together. Somebody who edits a response, its digest, its verdict, the summary
and the manifest alike leaves a folder that fits together, and is found only by judging (`rejudge`) and drawing (`redraw`) again:
that is the check for people who do not know who made the run. What is not judged or drawn again is taken at its word.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suder_bench.ahead import WORKERS
from suder_bench.data.source import Source
from suder_bench.errors import PictureError, UserError
from suder_bench.records import Response, open_image
from suder_bench.runs import commands, manifest, provenance, shapes, signed
from suder_bench.runs.effort import FILE as SPEED
from suder_bench.runs.jsonl import BLOCK, Ledger, Line, read_object
from suder_bench.runs.plan import Item, Task, plan
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.recomputed import recomputed
from suder_bench.runs.seen import picture_digest
from suder_bench.runs.store import RunFolder, check_verdict, read_response

OK, DIFFERS, UNKNOWN = "ok", "differs", "cannot tell"


@dataclass(frozen=True)
class Difference:
    """`file` is a path inside the run folder."""

    file: str
    what: str


@dataclass
class Checked:
    """What was looked at and found. `untold` says what could not be looked at, and why; `remarks` what a reader should know."""

    differences: list[Difference] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    rejudged: dict[str, dict[str, Any]] = field(default_factory=dict)
    redrawn: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """`OK` where all was looked at and nothing differs."""
        return DIFFERS if self.differences else UNKNOWN if self.untold else OK

    def differs(self, file: str, what: str) -> None:
        self.differences.append(Difference(file, what))

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number

    def document(self) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = {"rejudged": self.rejudged, "redrawn": self.redrawn}
        return {
            "verdict": self.verdict,
            "differences": [{"file": one.file, "what": one.what} for one in self.differences],
            "untold": self.untold,
            "remarks": self.remarks,
            "checked": self.counts,
            **{name: value for name, value in found.items() if value},
        }


def check(path: Path, checked: Checked, *, source: Source | None, say: Callable[[str], None]) -> list[Task]:
    """Hold everything in the folder against everything else, and against the data, which are in `source` by now where that is
    given. Decodes every picture, writes nothing. Returns the tasks whose data are here, for who judges or draws them again.

    Raises `UserError` for a folder that is no run's, or in which a process is at work.
    """
    folder = RunFolder(path)
    if not (path / "run.json").exists() and not (path / manifest.FILE).is_file():
        raise UserError(f"'{path}' is not a run folder (no run.json); give the --out of a suder-bench run")
    if folder.in_use():
        raise UserError(f"{path} is in use by another process; wait for it")
    pictures: set[str] = set()
    tasks = _recipe(folder, checked, source, say)
    plans = {task.name: task for task in tasks}
    for place in sorted(path.glob("responses/*/")):
        _responses(folder, place.name, plans.get(place.name), checked, pictures)
    for place in sorted(path.glob("verdicts/*/")):
        _verdicts(folder, place.name, checked)
    _signed_lines(folder, "replies", checked)
    _signed_lines(folder, commands.FOLDER, checked)
    _speed(folder, checked)
    _summary(folder, checked, source)
    _manifest(folder, checked, pictures)
    return tasks


def _recipe(folder: RunFolder, checked: Checked, source: Source | None, say: Callable[[str], None]) -> list[Task]:
    try:
        recipe = folder.read()
    except UserError as error:
        checked.differs("run.json", f"it is not readable: {error}")
        return []
    if recipe is None:
        checked.differs("run.json", "it is missing")
        return []
    settings = settings_of(recipe, judges={}, offline=True)
    settings = replace(settings, source=source or settings.source)
    tasks = []
    for name, entry in recipe["benchmarks"].items():
        try:
            [task] = plan(replace(settings, benchmarks=(name,)), say)
        except UserError as error:
            checked.untold.append(f"{name}: its data are not here: {error}")
            continue
        if task.data != entry["data"]:
            where = settings.source.argument
            checked.differs(
                "run.json", f"{name} was asked with data of the digest {entry['data']}, and that of --data {where} is {task.data}"
            )
            continue
        checked.count("benchmarks whose data are the run's")
        tasks.append(task)
    return tasks


def _responses(folder: RunFolder, name: str, task: Task | None, checked: Checked, pictures: set[str]) -> None:
    """Each line by itself, its picture, and whether its seed is the plan's."""
    seeds = {item.key: item for item in task.items} if task is not None else {}
    seen: set[tuple[str, int]] = set()
    waiting: list[tuple[Line, Response]] = []
    with ThreadPoolExecutor(WORKERS) as pool:

        def look() -> None:
            found = pool.map(lambda one: _picture(folder.path, one[1]), waiting)
            for (line, response), why in zip(waiting, found, strict=True):
                assert response.image is not None
                if why is not None:
                    checked.differs(response.image, f"{why}, as {_place(folder, line)} says it is")
            checked.count("pictures", len(waiting))
            waiting.clear()

        for line in Ledger(folder.path / "responses" / name).lines():
            response = read_response(name, line)
            if isinstance(response, str):
                checked.differs(_file(folder, line), response)
                continue
            checked.count("responses")
            key = response.sample, response.repeat
            if key in seen:
                checked.differs(_file(folder, line), f"{_place(folder, line)}: a second response of {_named(*key)}")
            seen.add(key)
            _seed(folder, line, response, seeds.get(key), checked)
            if response.image is not None:
                pictures.add(response.image)
                waiting.append((line, response))
                if len(waiting) == BLOCK:
                    look()
        look()


def _seed(folder: RunFolder, line: Line, response: Response, item: Item | None, checked: Checked) -> None:
    if item is not None and item.seed != response.seed:
        checked.differs(
            _file(folder, line),
            f"{_place(folder, line)}: {_named(*item.key)} has the seed {response.seed}, and by run.json's seed it is {item.seed}",
        )


def _picture(path: Path, response: Response) -> str | None:
    """Why a picture is not the one of its response, None where it is."""
    try:
        picture = open_image(path / str(response.image))
    except PictureError as error:
        return f"it is not the picture that was drawn ({error})"
    if picture_digest(picture) != response.digest:
        return "it is not the picture that was drawn"
    return None


def _verdicts(folder: RunFolder, name: str, checked: Checked) -> None:
    unsigned = 0
    for line in Ledger(folder.path / "verdicts" / name).lines():
        row = line.row()
        try:
            if row is not None and "checksum" not in row:
                unsigned += 1
                continue
            check_verdict(row, line.content)
        except shapes.ShapeError as error:
            checked.differs(_file(folder, line), f"{_place(folder, line)}: {error}")
            continue
        checked.count("verdicts")
    if unsigned:
        checked.untold.append(f"{name}: {unsigned:,} verdicts have no checksum, as versions before wrote them; judge them again")


def _signed_lines(folder: RunFolder, part: str, checked: Checked) -> None:
    for line in Ledger(folder.path / part).lines():
        if not signed.stands(line.content):
            checked.differs(_file(folder, line), f"{_place(folder, line)}: it was changed after it was written")


def _speed(folder: RunFolder, checked: Checked) -> None:
    try:
        shapes.check(read_object((folder.path / SPEED).read_bytes()), shapes.SPEED)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        checked.differs(SPEED, f"it is not readable ({error})")


def _summary(folder: RunFolder, checked: Checked, source: Source | None) -> None:
    file = "summary.json"
    if not (folder.path / file).is_file():
        checked.untold.append("there is no summary.json: the run is not finished")
        return
    try:
        found = recomputed(folder.path, lambda remark: None, source=source)
    except UserError as error:
        if not any(one.file == "run.json" for one in checked.differences):
            checked.differs(file, f"it cannot be made anew: {error}")
        return
    assert found is not None
    for name in found.aged:
        checked.remarks.append(
            f"{name}: its verdicts are another version's; this one makes the same values of them, and judges anew with --rejudge"
        )
    for name, why in found.unbacked.items():
        if name in found.aged:
            continue
        checked.untold.append(f"{name}: its numbers could not be made anew from its verdicts: {why}")
    for difference in found.differences:
        checked.differs(file, f"it disagrees with run.json and the verdicts: {difference}")
    if found.differences and not found.wrong and (other := _other_code(folder.path)):
        checked.remarks.append(f"only intervals differ, and {other}: that may compute them in another way")
    backed = [entry for name, entry in found.summary["benchmarks"].items() if name not in found.unbacked]
    checked.count("metrics made anew", sum(len(entry["metrics"]) for entry in backed))


def _other_code(path: Path) -> str:
    """'it was scored by commit 3f7444d, here it is ...' where the last command was another version's, else ''."""
    made = commands.read(path)
    then, now = (made[-1]["code"] if made else {}), provenance.code()
    if not then or then == now:
        return ""
    told = [str(one.get("commit") or one.get("wheel") or one["version"])[:12] for one in (then, now)]
    return f"it was scored by suder-bench {told[0]}, here it is {told[1]}" + (" with edits" if now["edited"] else "")


def _manifest(folder: RunFolder, checked: Checked, pictures: set[str]) -> None:
    if not (folder.path / manifest.FILE).is_file() and not (folder.path / commands.FOLDER).is_dir():
        checked.remarks.append(
            "a version of suder-bench made it that kept no manifest: what its lines tell of each other was checked, and no file"
            " byte by byte"
        )
        return
    try:
        found = list(manifest.differences(folder.path, pictures))
    except UserError:
        checked.untold.append(
            "there is no manifest.json: the last command did not come to its end, or somebody took it away; a run that is"
            " repeated, or scored again, writes it"
        )
        return
    for file, what in found:
        checked.differs(file, what)
    checked.count("files", len(manifest.files(folder.path)))


def _place(folder: RunFolder, line: Line) -> str:
    return f"{_file(folder, line)}, line {line.number}"


def _file(folder: RunFolder, line: Line) -> str:
    return line.file.relative_to(folder.path).as_posix()


def _named(sample: str, repeat: int) -> str:
    return f"{sample}, repeat {repeat}"
