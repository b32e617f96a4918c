"""Some of a run's responses judged and made again, by the code that did it the first time, and held against what the run has.

Nothing is written into the run folder. Which ones is drawn at random, so that nobody who edits a folder knows them.
"""

from __future__ import annotations

import difflib
import math
import random
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from suder_bench.errors import PictureError
from suder_bench.models.protocols import Model, StoredPictures
from suder_bench.records import Response, Verdict, open_image
from suder_bench.runs import commands, provenance
from suder_bench.runs.batches import AUTO, BatchSize
from suder_bench.runs.judges import Panel
from suder_bench.runs.plan import Item, Settings, Task
from suder_bench.runs.recipe import versions
from suder_bench.runs.respond import check_able, respond
from suder_bench.runs.responses import Columns, Key
from suder_bench.runs.roles import can_judge, needed
from suder_bench.runs.score import Answers, filing, judge_task
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder
from suder_bench.runs.verify import Checked

CLOSE = 1e-4
"""Judges that are networks round differently in other batches; scores nearer than this, and of one word, are the same verdict."""


def rejudge(
    folder: RunFolder,
    recipe: Mapping[str, Any],
    tasks: Sequence[Task],
    panel: Panel,
    share: float,
    chance: random.Random,
    checked: Checked,
    screen: Screen,
) -> None:
    """Judge a share of each task's responses again, and hold each verdict against the one that is stored."""
    for error in panel.missing.values():
        checked.untold.append(f"not judged again: {error}")
    for task in tasks:
        responses = folder.responses(task.name, repair=False)
        there = [place for place, item in enumerate(task.items) if item.key in responses]
        able = [place for place in there if can_judge(task.benchmark, task.items[place].sample, panel.judges)]
        count = math.ceil(share * len(able))
        if not count:
            continue
        places = array("q", sorted(chance.sample(able, count)))
        asked = {task.items[place].key for place in places}
        found: dict[Key, Verdict] = {}

        def keep(verdicts: Sequence[Verdict], found: dict[Key, Verdict] = found) -> None:
            found.update({(verdict.sample, verdict.repeat): verdict for verdict in verdicts})

        judge_task(task, Answers(task.items, places, responses, folder.path), panel, keep, screen)
        stored = _stored(folder, recipe, task, asked, responses)
        why = "; ".join(_other_judges(recipe, task, panel))
        same = 0
        for place in places:
            key = task.items[place].key
            difference = _apart(stored.get(key), found.get(key))
            if difference is None:
                same += 1
            else:
                named = f"{key[0]}, repeat {key[1]}"
                checked.differs(f"verdicts/{task.name}", f"judged again, {named} {difference}" + (f" ({why})" if why else ""))
        checked.rejudged[task.name] = {"responses": count, "same": same} | ({"why": why} if why else {})


def _stored(folder: RunFolder, recipe: Mapping[str, Any], task: Task, asked: set[Key], responses: Columns) -> dict[Key, Verdict]:
    """The run's verdicts on these responses, also where another version of the code filed them."""
    own = set(filing(task, recipe["judges"].get(task.name, {})).values())
    _, found = folder.judged(task.name, asked)
    found.sort(key=lambda pair: pair[0] in own)  # the run's own last, which then count
    right = [(key, verdict) for key, verdict in found if responses.digest((verdict.sample, verdict.repeat)) == verdict.digest]
    return {(verdict.sample, verdict.repeat): verdict for _, verdict in right}


def _apart(stored: Verdict | None, found: Verdict | None) -> str | None:
    """How a new verdict differs from the one that the run has; None where it says the same."""
    if stored is None:
        return "has no verdict in the run" if found is not None else None
    if found is None:
        return "could not be judged"
    if stored.correct is not found.correct:
        return f"is {_word(found)}, and {_word(stored)} in the run"
    for name in sorted({**stored.scores, **found.scores}):
        one, other = stored.scores.get(name, math.nan), found.scores.get(name, math.nan)
        if not math.isclose(one, other, abs_tol=CLOSE, rel_tol=CLOSE) and not (math.isnan(one) and math.isnan(other)):
            return f"has {name} {other:g}, and {one:g} in the run"
    return None


def _word(verdict: Verdict) -> str:
    word = {True: "right", False: "wrong", None: "neither right nor wrong"}[verdict.correct]
    return f"{word} ({verdict.reason})"


def _other_judges(recipe: Mapping[str, Any], task: Task, panel: Panel) -> Iterator[str]:
    own = recipe["judges"].get(task.name, {})
    roles = [role for role in needed(task.benchmark, task.samples) if role in panel.judges]
    for role, here in panel.identity(roles).items():
        before = own.get(role, {})
        if before and (before["backend"], before["fingerprint"]) != (here["backend"], here["fingerprint"]):
            yield (
                f"the {role} of the run is {before['backend']} {before['fingerprint'][:8]}, here it is {here['backend']}"
                f" {str(here['fingerprint'])[:8]}"
            )
        if panel.paid([role]):
            yield f"the {role} is behind an address, and need not say the same twice"


def redraw(
    folder: RunFolder,
    recipe: Mapping[str, Any],
    tasks: Sequence[Task],
    model: Model,
    settings: Settings,
    count: int,
    chance: random.Random,
    checked: Checked,
    screen: Screen,
) -> None:
    """Make `count` random responses of the run again from their seeds, and hold each against the one that is stored."""
    why = list(_otherwise(folder, recipe, model, settings))
    _fingerprint(recipe, model, checked)
    made = {task.name: folder.responses(task.name, repair=False) for task in tasks}
    there = [(task.name, item) for task in tasks for item in task.items if item.key in made[task.name]]
    drawn = chance.sample(there, min(count, len(there)))
    check_able(model, tasks, settings.image)
    with TemporaryDirectory() as scratch:
        new = RunFolder(Path(scratch))
        for task in tasks:
            items = [item for name, item in drawn if name == task.name]
            if not items:
                continue
            again = Columns(task.name)
            respond(replace(task, items=tuple(items)), again, model, new, settings, BatchSize(AUTO), screen)
            told = [_alike(made[task.name][item.key], again.get(item.key), folder.path, new.path) for item in items]
            same = sum(one == {} for one in told)
            _tell(task, items, told, why, checked)
            checked.redrawn[task.name] = {"responses": len(items), "same": same, **_means(told)} | (
                {"why": why} if why and same < len(items) else {}
            )


def _tell(task: Task, items: Sequence[Item], told: Sequence[Mapping[str, float]], why: Sequence[str], checked: Checked) -> None:
    reason = f" (this is not what the run was made with: {'; '.join(why)})" if why else ""
    for item, one in zip(items, told, strict=True):
        if one:
            near = "; ".join(_NEAR[name].format(value) for name, value in one.items())
            checked.differs(
                f"responses/{task.name}", f"made again, {item.sample.id}, repeat {item.repeat} is another: {near}{reason}"
            )


_NEAR = {
    "lost": "it could not be made",
    "size": "its size is another",
    "equal_pixels": "{:.1%} of its pixels are equal",
    "difference": "they differ by {:.2f} of 255 on average",
    "equal_words": "{:.1%} of its words are equal",
}


def _alike(stored: Response, new: Response | None, folder: Path, scratch: Path) -> dict[str, float]:
    """How near a response made again is to the one that is stored; nothing where it is the same."""
    if new is None:
        return {"lost": 1.0}
    if new.digest == stored.digest:
        return {}
    if stored.image is None or new.image is None:
        before, now = (str(one.text).split() for one in (stored, new))
        return {"equal_words": difflib.SequenceMatcher(None, before, now, autojunk=False).ratio()}
    try:
        one, other = (
            np.asarray(open_image(place / image)).astype(int) for place, image in ((folder, stored.image), (scratch, new.image))
        )
    except PictureError:
        return {"lost": 1.0}
    if one.shape != other.shape:
        return {"size": 1.0}
    apart = np.abs(one - other)
    return {"equal_pixels": float((apart.max(axis=-1) == 0).mean()), "difference": float(apart.mean())}


def _means(told: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Over the responses that differ."""
    names = dict.fromkeys(name for one in told for name in one)
    return {name: sum(one[name] for one in told if name in one) / sum(name in one for one in told) for name in names}


def _fingerprint(recipe: Mapping[str, Any], model: Model, checked: Checked) -> None:
    before = recipe["model"].get("fingerprint")
    if before == model.fingerprint or isinstance(model, StoredPictures):  # copies of pictures have other times
        return
    old, new = recipe["model"].get("parts", {}), getattr(model, "parts", {})
    parts = [name for name in old if name in new and old[name] != new[name]]
    told = f" ({', '.join(parts)} changed)" if parts else ""
    checked.differs(
        "run.json",
        f"its model has the fingerprint {str(before)[:12]}, and '{model.name}' here has {model.fingerprint[:12]}{told}",
    )


def _otherwise(folder: RunFolder, recipe: Mapping[str, Any], model: Model, settings: Settings) -> Iterator[str]:
    """In what this process is another than the one that made the run, which may be why pictures differ."""
    for name, version in recipe["versions"].items():
        if (now := versions().get(name)) != version:
            yield f"{name} was {version} and is {now}"
    for name in ("device", "dtype"):
        if recipe[name] != getattr(settings, name):
            yield f"{name} was {recipe[name]} and is {getattr(settings, name)}"
    made = commands.read(folder.path)
    then, now_ = (made[0]["host"] if made else {}), provenance.host()
    for name in ("processor", "machine", "gpus", "driver"):
        if name in then and then[name] != now_[name]:
            yield f"{name} was {_list(then[name])} and is {_list(now_[name])}"
    for name, value in recipe["model"]["settings"].items():
        if (own := model.settings.get(name)) is not None and own != value:
            yield f"the model's {name} was '{value}' and is '{own}'"


def _list(value: object) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
