"""What a reward thinks of the samples of one prompt, and of the captions of one picture, as in Figures 9 and 10.

From a folder of `reward compare`, or else from the sheets that a training keeps of its samples.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.reports import door
from suder_bench.reports.figures.figure import Caption, Captions, Figure, Frame, Picture, Pictures, Sheet
from suder_bench.rewards import kept
from suder_bench.rewards.kept import Kept

PARTS = {9: "pictures", 10: "captions"}
TASKS = {9: "gen", 10: "und"}
"""How a training's sheets are called."""

ROWS, SAMPLES = 4, 8
"""Prompts or pictures that are shown, and samples of each, at most."""

_SHEET = re.compile(r"step-([0-9]+)-(gen|und)\.png")


def build(number: int, paths: Sequence[Path]) -> list[Figure]:
    """A figure for each comparison of rewards and each training that has such samples. Raises `UserError` where none has."""
    figures: list[Figure] = []
    for path in dict.fromkeys(paths):
        made = _compared(number, path, paths) if (path / "compare.json").is_file() else _trained(number, path)
        if made is not None:
            same = sum(one.name.startswith(made.name) for one in figures)
            figures.append(replace(made, name=made.name + (f"-{same + 1}" if same else "")))
    if not figures:
        raise UserError(
            f"Figure {number} shows {PARTS[number]} with their rewards and no run given has any; make them with: "
            "suder-bench reward compare --model tiny-janus --rewards dsr,clip --out runs/rewards"
        )
    return figures


def _compared(number: int, path: Path, given: Sequence[Path]) -> Figure | None:
    found = door.document(path, "compare.json") or {}
    door.inside(path / kept.FILE, path)
    rows = [row for row in kept.read(path) if row.part == PARTS[number]]
    if not rows:
        return None
    shown = [rows[i * len(rows) // ROWS] for i in range(ROWS)] if len(rows) > ROWS else rows
    names = tuple(shown[0].rewards)
    maker = found.get(f"{PARTS[number]}_by", found["model"])
    what = f"{PARTS[number]} by {maker}" + ("" if maker == found["model"] else f", asked of {found['model']}")
    notes = [
        f"From the highest {names[0]} to the lowest; the highest is green, the lowest orange.",
        f"{PARTS[number].capitalize()} of {'prompts' if number == 9 else 'pictures'} spread evenly over the comparison.",
    ]
    if len(shown[0].made) > SAMPLES:
        notes[0] += f" {SAMPLES} of {len(shown[0].made):,} samples each, spread evenly over that order."
    credited = _credited(shown)
    if number == 9 and credited is not None:
        notes.append(f"Below each picture the regions by {credited}: green good, orange bad, the stronger the surer.")
    if shown[0].verdict is not None:
        judge = f"{found['benchmark']}'s" if number == 9 else "1 where everything a caption says is true"
        notes.append(f"verdict: {judge}.")
    content = _pictures(path, shown, given) if number == 9 else _captions(path, shown)
    name = f"figure-{number}-{'world' if found['world'] else 'real'}"
    where = "on the embedded world" if found["world"] else "on real data"
    return Figure(number, name, f"{' and '.join(names)} of {what}", where, content, tuple(notes))


def _pictures(path: Path, rows: Sequence[Kept], given: Sequence[Path]) -> Pictures:
    return Pictures(
        (),
        tuple(
            (
                row.given,
                tuple(_picture(path, row, k, _credited(rows), given) for k in _order(row)),
            )
            for row in rows
        ),
    )


def _picture(path: Path, row: Kept, k: int, credited: str | None, given: Sequence[Path]) -> Picture:
    known = row.regions.get(credited) if credited else None
    file = door.inside(path / row.made[k], *given)
    return Picture(file, _numbers(row, k), _frame(row, k), mapped=credited is not None, regions=known[k] if known else None)


def _credited(rows: Sequence[Kept]) -> str | None:
    """The first reward that knows regions."""
    return next((name for row in rows for name in row.regions), None)


def _captions(path: Path, rows: Sequence[Kept]) -> Captions:
    names = (*rows[0].rewards, *(["verdict"] if rows[0].verdict is not None else []))
    pictures = tuple(
        (
            door.inside(path / row.given, path),
            tuple(
                Caption(row.made[k], tuple(line.rpartition(" ")[2] for line in _numbers(row, k)), _frame(row, k))
                for k in _order(row)
            ),
        )
        for row in rows
    )
    return Captions(names, pictures)


def _first(row: Kept) -> tuple[float, ...]:
    return next(iter(row.rewards.values()))


def _order(row: Kept) -> list[int]:
    """From the highest of the first reward to the lowest; of many samples some, spread evenly from end to end."""
    order = sorted(range(len(row.made)), key=lambda k: -_first(row)[k])
    if len(order) <= SAMPLES:
        return order
    return [order[round(i * (len(order) - 1) / (SAMPLES - 1))] for i in range(SAMPLES)]


def _numbers(row: Kept, k: int) -> tuple[str, ...]:
    """A line for each reward, and one for the verdict."""
    rewards = [f"{name} {values[k]:z.3f}" for name, values in row.rewards.items()]
    return (*rewards, *([f"verdict {row.verdict[k]:g}"] if row.verdict is not None else []))


def _frame(row: Kept, k: int) -> Frame:
    own = _first(row)
    if max(own) == min(own):
        return ""
    return "best" if own[k] == max(own) else "worst" if own[k] == min(own) else ""


def _trained(number: int, path: Path) -> Figure | None:
    """The last sheet of a training's samples; of a separate one, of the model that makes them."""
    sheets = []
    for file in [*path.glob("samples/*.png"), *path.glob(f"{TASKS[number]}/samples/*.png")]:
        found = _SHEET.fullmatch(file.name)
        if found and found[2] == TASKS[number]:
            sheets.append((int(found[1]), file))
    if not sheets:
        return None
    step, file = max(sheets)
    door.inside(file, path)
    notes = ("The best sample of each is green, the worst orange.",)
    subject, words = f"Rewards of {PARTS[number]} in training", f"step {step:,} of {path}"
    return Figure(number, f"figure-{number}-training", subject, words, Sheet(file), notes)
