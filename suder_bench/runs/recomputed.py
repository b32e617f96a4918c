"""A finished run's summary made anew from its verdicts: summary.json is never taken at its word where these can tell."""

from __future__ import annotations

import math
import shlex
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from suder_bench.data.source import Source
from suder_bench.errors import UserError
from suder_bench.records import Response, Sample, Verdict
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.plan import Task, plan
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.responses import Key
from suder_bench.runs.roles import Unjudged
from suder_bench.runs.score import Scored, judged_before
from suder_bench.runs.screen import SOME
from suder_bench.runs.store import RunFolder
from suder_bench.runs.summary import summarise

KEPT = 64
"""Summaries remembered while their folder stays what it is: a report reads each several times."""

SPREAD = ("low", "high", "few_clusters")
"""Of a metric, what tells how sure it is."""

CLOSE = 1e-9
"""Relative difference of two machines' sums."""


@dataclass(frozen=True)
class Recomputed:
    """`summary` as summary.json should be, and the `differences` from what that says, of which `wrong` ones are no matter of how
    an interval is computed. `unbacked` says of benchmarks why their entries are still those of summary.json; of those that are
    `aged` the verdicts are another version's, and give the same values. `remarks` are lines that name the file, on all this."""

    summary: dict[str, Any]
    unbacked: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    aged: frozenset[str] = frozenset()
    scored: dict[str, Scored] = field(default_factory=dict, compare=False, repr=False)
    gone: Mapping[str, set[Key]] = field(default_factory=dict, compare=False, repr=False)


def recomputed(
    path: Path,
    say: Callable[[str], None] | None = None,
    *,
    rows: bool = False,
    strict: bool = False,
    source: Source | None = None,
) -> Recomputed | None:
    """The summary of a run folder, or None where none was written yet. Each remark is said once, by default on stderr.
    `source` is where the run's data are by now, where not in the place that run.json names.

    What is `strict` does not go on with a summary.json that somebody edited, or whose verdicts somebody did, but raises
    `UserError`; intervals are made anew all the same, since another version may compute them in another way.

    With `rows` what it was made of is in `scored`, by benchmark, unless it was made before and only remembered; then the pictures
    are looked at, and `gone` names the responses whose picture is not what was drawn, which count all the same.
    Raises `UserError` for a summary.json or run.json that no run wrote.
    """
    file = path / "summary.json"
    if not file.is_file():
        return None
    found, told = _recomputed(path, _stamp(path), rows, source)
    if strict and found.wrong:
        again = f"suder-bench score {shlex.quote(str(path))}"
        raise UserError(
            f"{file} says otherwise than the verdicts: {found.wrong[0]}; 'suder-bench verify' names all that was edited;"
            f" judge that again, and write the summary anew, with: {again}"
        )
    for remark in found.remarks if not told else ():
        (say or _say)(remark)
        told.add(remark)
    if not rows:
        found.scored.clear()
    return found


@lru_cache(maxsize=KEPT)
def _recomputed(path: Path, stamp: object, pictures: bool, source: Source | None) -> tuple[Recomputed, set[str]]:
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
    apart: list[tuple[str, bool]] = []
    aged: set[str] = set()
    lost: list[str] = []
    gone: dict[str, set[Key]] = {name: set() for name in recipe["benchmarks"]} if pictures else {}
    for name in recipe["benchmarks"]:
        if name not in written["benchmarks"]:
            continue
        try:
            scored.append(_scored(folder, recipe, name, written["benchmarks"][name], lost.append, gone.get(name), source))
        except _AgedError as error:
            unbacked[name] = str(error)
            told = _aged(folder, error.task, written["benchmarks"][name])
            apart += [(f"{name} {one}", True) for one in told or ()]
            aged |= {name} if told == [] else set()
        except UserError as error:
            unbacked[name] = str(error)
    world = recipe["world"] or settings_of(recipe, judges={}, offline=True).source.world
    summary = summarise({**recipe, "world": world}, scored, folder.books().totals())
    made = {**summary["benchmarks"], **{name: written["benchmarks"][name] for name in unbacked}}
    summary["benchmarks"] = {name: made[name] for name in recipe["benchmarks"] if name in made}
    remarks = [f"suder-bench: {why}; judge again with: {again}" for why in lost[:SOME]]
    remarks += [f"suder-bench: {path}: {len(lost) - SOME:,} more verdicts count as not made"] if len(lost) > SOME else []
    for name, reason in unbacked.items():
        remarks.append(f"suder-bench: {file}: {name} stands as it was written, its verdicts cannot tell: {reason}")
    apart += [(f"{name} has numbers, and no verdict", True) for name in unbacked if _unjudged(folder, written, name)]
    older = [name for name, one in written["benchmarks"].items() if name not in unbacked and "intervals" not in one]
    apart += _differences(_without_intervals(written, older), _without_intervals(summary, older))
    if apart:
        first = apart[0][0]
        remarks.append(f"suder-bench: {file} disagrees with the verdicts: {first}; these count. Make it anew with: {again}")
    differences, wrong = tuple(text for text, _ in apart), tuple(text for text, is_wrong in apart if is_wrong)
    made_of = {one.benchmark.name: one for one in scored}
    return Recomputed(summary, unbacked, tuple(remarks), differences, wrong, frozenset(aged), made_of, gone), set()


class _AgedError(UserError):
    """No verdict on the `task` is this version's."""

    def __init__(self, message: str, task: Task) -> None:
        super().__init__(message)
        self.task = task


def _aged(folder: RunFolder, task: Task, written: Mapping[str, Any]) -> list[str] | None:
    """Where the values are others than this version makes of another version's verdicts; None where that cannot be told.

    Of several judges' verdicts on a response it is not told whose count: the first ones, or the last, may make the values.
    """
    digests: dict[Key, str] = {}

    def respond(response: Response) -> bool:
        digests.setdefault((response.sample, response.repeat), response.digest)
        return True

    folder.each_response(task.name, respond, pictures=False)
    _, stored = folder.judged(task.name, digests)
    fitting = [one for _, one in stored if digests[one.sample, one.repeat] == one.digest]
    orders = [{(one.sample, one.repeat): one for one in way} for way in (reversed(fitting), fitting)]
    found = [_apart(task, verdicts, written) for verdicts in orders]
    if [] in found:
        return []
    return found[-1] if len(fitting) == len(orders[-1]) else None


def _apart(task: Task, verdicts: Mapping[Key, Verdict], written: Mapping[str, Any]) -> list[str] | None:
    """Which values are others than these verdicts make; None where this version cannot make any."""
    rows = [(item.sample, verdicts[item.key]) for item in task.items if item.key in verdicts]
    try:
        found = task.benchmark.statistics(rows) if rows else {}
        made = {name: (float(one.of(np.ones(len(rows)))), one.n) for name, one in found.items()}
    except (ArithmeticError, LookupError, TypeError, ValueError):  # of a version whose verdicts said other things
        return None
    shared = {name: one for name, one in written["metrics"].items() if name in made and one["value"] is not None}
    differences = []
    for name, one in shared.items():
        value, n = made[name]
        if not _close(one["value"], value) or one["n"] != n:
            differences.append(f"{name} is {_short(one['value'])} (n {one['n']}), not {_short(value)} (n {n})")
    return differences if shared else None


def _unjudged(folder: RunFolder, written: Mapping[str, Any], name: str) -> bool:
    """Whether there are numbers that no verdict of any version stands behind."""
    return bool(written["benchmarks"][name]["metrics"]) and next(Ledger(folder.path / "verdicts" / name).lines(), None) is None


def _without_intervals(summary: Mapping[str, Any], benchmarks: Collection[str]) -> dict[str, Any]:
    """The summary without the intervals of some benchmarks: those that an earlier version made in another way are made anew, and
    nothing is wrong with them."""
    entries = dict(summary["benchmarks"])
    for name in set(benchmarks) & entries.keys():
        metrics = {metric: {**one, "low": None, "high": None} for metric, one in entries[name]["metrics"].items()}
        entries[name] = {**entries[name], "intervals": None, "metrics": metrics}
    return {**summary, "benchmarks": entries}


def scored_anew(path: Path, summary: Mapping[str, Any]) -> Iterator[Scored]:
    """What the metrics of a run's `summary` are made of, benchmark by benchmark.

    Raises `UserError` where a benchmark's data or verdicts are not there, or of another version.
    """
    folder = RunFolder(path)
    recipe = folder.read()
    if recipe is None:
        raise UserError(f"{path} has no run.json")
    for name, entry in summary["benchmarks"].items():
        yield _scored(folder, recipe, name, entry, lambda why: None, None)


def _scored(
    folder: RunFolder,
    recipe: Mapping[str, Any],
    name: str,
    written: Mapping[str, Any],
    lost: Callable[[str], None],
    gone: set[Key] | None,
    source: Source | None = None,
) -> Scored:
    """A benchmark's verdicts; `gone` as in `judged_before`.

    Raises `UserError` where its data or its verdicts are not there, or of another version.
    """
    settings = settings_of(recipe, judges={}, offline=True)
    [task] = plan(replace(settings, benchmarks=(name,), source=source or settings.source), _say)
    if task.data != recipe["benchmarks"][name]["data"]:
        raise UserError(f"the data of {name} have changed since")
    identity = recipe["judges"].get(name)
    rows: list[tuple[Sample, Verdict]] = []
    unjudged = Unjudged(**written["unjudged"]) if "unjudged" in written else None
    if identity is not None:
        rows, unjudged = judged_before(task, identity, folder, pictures=False, lost=lost, gone=gone)
    if identity is not None and not rows and written["metrics"]:
        raise _AgedError(
            f"it has none by these judges, by this version and with a checksum; suder-bench score {shlex.quote(str(folder.path))}"
            " judges again",
            task,
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


def _differences(written: Mapping[str, Any], made: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, bool]]:
    """Where two documents differ, the benchmarks first: 'geneval overall value is 0.9, not 0.5'; and whether that is more than a
    matter of how intervals are computed, or of replies that nobody kept."""
    for name in sorted({**written, **made}, key=lambda name: name != "benchmarks"):
        here = f"{place} {name}".strip().removeprefix("benchmarks ").replace(" metrics ", " ")
        hard = name not in SPREAD and f"{place} {name}".split()[0] != "asked"
        if name not in written or name not in made:
            yield f"{here} is {'missing' if name not in written else 'not of this run'}", hard
            continue
        one, other = written[name], made[name]
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differences(one, other, f"{place} {name}".strip())
        elif one != other and not _close(one, other):
            yield f"{here} is {_short(one)}, not {_short(other)}", hard


def _close(one: object, other: object) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool)
    return numbers and math.isclose(float(one), float(other), rel_tol=CLOSE, abs_tol=CLOSE)  # type: ignore[arg-type]


def _short(value: object) -> str:
    return textwrap.shorten(str(value), 60, placeholder=" ...")


def _stamp(path: Path) -> tuple[object, ...]:
    """Changes with every file that a summary is made of, but the pictures."""
    files = [path / "run.json", path / "summary.json", *path.glob("responses/*/*.jsonl"), *path.glob("verdicts/*/*.jsonl")]
    files += path.glob("replies/*.jsonl")
    return tuple((str(file), stat.st_ino, stat.st_size, stat.st_mtime_ns) for file in sorted(files) if (stat := _stat(file)))


def _stat(file: Path) -> Any:
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def _say(line: str) -> None:
    print(line, file=sys.stderr)
