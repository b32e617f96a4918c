"""A finished run's summary made anew from its verdicts: summary.json is never taken at its word where these can tell."""

from __future__ import annotations

import math
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError
from suder_bench.records import Sample, Verdict
from suder_bench.runs.plan import plan
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.responses import Key
from suder_bench.runs.roles import Unjudged
from suder_bench.runs.score import Scored, judged_before
from suder_bench.runs.screen import SOME
from suder_bench.runs.store import RunFolder
from suder_bench.runs.summary import summarise

KEPT = 64
"""Summaries remembered while their folder stays what it is: a report reads each several times."""

CLOSE = 1e-9
"""Relative difference of two machines' sums."""


@dataclass(frozen=True)
class Recomputed:
    """`summary` as summary.json should be. `unbacked` says of benchmarks why their entries are still those of summary.json;
    `remarks` are lines that name the file, on that and on where it disagrees with the verdicts."""

    summary: dict[str, Any]
    unbacked: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    scored: dict[str, Scored] = field(default_factory=dict, compare=False, repr=False)
    gone: Mapping[str, set[Key]] = field(default_factory=dict, compare=False, repr=False)


def recomputed(path: Path, say: Callable[[str], None] | None = None, *, rows: bool = False) -> Recomputed | None:
    """The summary of a run folder, or None where none was written yet. Each remark is said once, by default on stderr.

    With `rows` what it was made of is in `scored`, by benchmark, unless it was made before and only remembered; then the pictures
    are looked at, and `gone` names the responses whose picture is not what was drawn, which count all the same.
    Raises `UserError` for a summary.json or run.json that no run wrote.
    """
    file = path / "summary.json"
    if not file.is_file():
        return None
    found, told = _recomputed(path, _stamp(path), rows)
    for remark in found.remarks if not told else ():
        (say or _say)(remark)
        told.add(remark)
    if not rows:
        found.scored.clear()
    return found


@lru_cache(maxsize=KEPT)
def _recomputed(path: Path, stamp: object, pictures: bool) -> tuple[Recomputed, set[str]]:
    folder = RunFolder(path)
    written, recipe = folder.read("summary.json"), folder.read()
    assert written is not None
    again = f"suder-bench score {shlex.quote(str(path))}"
    file = path / "summary.json"
    if recipe is None:
        reason = f"{path} has no run.json"
        return Recomputed(written, dict.fromkeys(written["benchmarks"], reason), (f"suder-bench: {file}: {reason}",)), set()
    scored: list[Scored] = []
    unbacked: dict[str, str] = {}
    lost: list[str] = []
    gone: dict[str, set[Key]] = {name: set() for name in recipe["benchmarks"]} if pictures else {}
    for name in recipe["benchmarks"]:
        if name not in written["benchmarks"]:
            continue
        try:
            scored.append(_scored(folder, recipe, name, written["benchmarks"][name], lost.append, gone.get(name)))
        except UserError as error:
            unbacked[name] = str(error)
    summary = summarise({**recipe, "world": recipe["world"] or settings_of(recipe, judges={}, offline=True).source.world}, scored)
    made = {**summary["benchmarks"], **{name: written["benchmarks"][name] for name in unbacked}}
    summary["benchmarks"] = {name: made[name] for name in recipe["benchmarks"] if name in made}
    remarks = [f"suder-bench: {why}; judge again with: {again}" for why in lost[:SOME]]
    remarks += [f"suder-bench: {path}: {len(lost) - SOME:,} more verdicts count as not made"] if len(lost) > SOME else []
    for name, reason in unbacked.items():
        remarks.append(f"suder-bench: {file}: {name} stands as it was written, its verdicts cannot tell: {reason}")
    difference = next(_differences(written, summary), None)
    if difference is not None:
        remarks.append(f"suder-bench: {file} disagrees with the verdicts: {difference}; these count. Make it anew with: {again}")
    return Recomputed(summary, unbacked, tuple(remarks), {one.benchmark.name: one for one in scored}, gone), set()


def _scored(
    folder: RunFolder,
    recipe: Mapping[str, Any],
    name: str,
    written: Mapping[str, Any],
    lost: Callable[[str], None],
    gone: set[Key] | None,
) -> Scored:
    """A benchmark's verdicts; `gone` as in `judged_before`.

    Raises `UserError` where its data or its verdicts are not there, or of another version.
    """
    settings = replace(settings_of(recipe, judges={}, offline=True), benchmarks=(name,))
    [task] = plan(settings, _say)
    if task.data != recipe["benchmarks"][name]["data"]:
        raise UserError(f"the data of {name} have changed since")
    identity = recipe["judges"].get(name)
    rows: list[tuple[Sample, Verdict]] = []
    unjudged = Unjudged(**written["unjudged"]) if "unjudged" in written else None
    if identity is not None:
        rows, unjudged = judged_before(task, identity, folder, pictures=False, lost=lost, gone=gone)
    if identity is not None and not rows and written["metrics"]:
        raise UserError(
            f"it has none by these judges, by this version and with a checksum; suder-bench score {shlex.quote(str(folder.path))}"
            " judges again"
        )
    missing = len(task.items) + task.left_out * task.repeats - len(rows)
    failed = min(written["failed"], missing)
    return Scored(
        benchmark=task.benchmark,
        protocol=task.protocol,
        rows=rows,
        judges=dict(identity or {}),
        planned=task.samples,
        skipped=missing - failed,
        failed=failed,
        unjudged=unjudged,
    )


def _differences(written: Mapping[str, Any], made: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Where two documents differ, the benchmarks first: 'geneval overall value is 0.9, not 0.5'."""
    for name in sorted({**written, **made}, key=lambda name: name != "benchmarks"):
        here = f"{place} {name}".strip().removeprefix("benchmarks ").replace(" metrics ", " ")
        if name not in written or name not in made:
            yield f"{here} is {'missing' if name not in written else 'not of this run'}"
            continue
        one, other = written[name], made[name]
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differences(one, other, f"{place} {name}".strip())
        elif one != other and not _close(one, other):
            yield f"{here} is {_short(one)}, not {_short(other)}"


def _close(one: object, other: object) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool)
    return numbers and math.isclose(float(one), float(other), rel_tol=CLOSE, abs_tol=CLOSE)  # type: ignore[arg-type]


def _short(value: object) -> str:
    return textwrap.shorten(str(value), 60, placeholder=" ...")


def _stamp(path: Path) -> tuple[object, ...]:
    """Changes with every file that a summary is made of, but the pictures."""
    files = [path / "run.json", path / "summary.json", *path.glob("responses/*/*.jsonl"), *path.glob("verdicts/*/*.jsonl")]
    return tuple((str(file), stat.st_ino, stat.st_size, stat.st_mtime_ns) for file in sorted(files) if (stat := _stat(file)))


def _stat(file: Path) -> Any:
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def _say(line: str) -> None:
    print(line, file=sys.stderr)
