"""Samples to compare rewards on: pictures that a run drew and its benchmark judged, and captions of the world's pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models.janus_prompts import CAPTION_REQUEST
from suder_bench.models.protocols import ImageToText, Model, TextSampling
from suder_bench.records import Verdict, open_image
from suder_bench.rewards.compare import Samples
from suder_bench.rewards.protocols import CaptionReward, Reward
from suder_bench.runs.execute import Run
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.plan import plan, seed_of
from suder_bench.runs.score import stored_rows
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder
from suder_bench.world.examples import scene, stream
from suder_bench.world.language import FAMILIES
from suder_bench.world.reading import faithful
from suder_bench.world.render import picture
from suder_bench.world.scenes import Scene

BATCH = 32
LONGEST = 64
"""Tokens of a caption. The world's are shorter."""

NUMBERS = ("score", "correct")
"""What a generation benchmark calls a verdict's number, in [0, 1]."""


@dataclass(frozen=True)
class Sampled:
    """Samples with what made them. `given` holds a text for each prompt, or a picture; `made` (prompts, samples) picture
    files, or captions. `seconds` is what a reward takes for a sample; `skipped` counts prompts that lack a sample."""

    given: Sequence[str] | Sequence[Image.Image]
    made: Sequence[Sequence[Path]] | Sequence[Sequence[str]]
    samples: Samples
    seconds: Mapping[str, float]
    skipped: int = 0


def draw(run: Run, model: Model, rewards: Mapping[str, Reward], screen: Screen) -> Sampled:
    """The run's pictures, drawn and judged where they are not yet, with every reward's number.

    Raises `UserError` when nothing was judged, and for a reward that gives no number.
    """
    run.execute(screen, lambda: model)
    [task] = plan(run.settings, screen.say)
    folder = RunFolder(run.out)
    judged: dict[str, list[Verdict]] = {}
    for sample, verdict in stored_rows(task, (folder.read() or {"judges": {}})["judges"].get(task.name, {}), folder):
        if math.isfinite(_number(verdict)):
            judged.setdefault(sample.id, []).append(verdict)
    whole = [sample for sample in task.samples if len(judged.get(sample.id, [])) == task.repeats]
    if not whole:
        raise UserError(f"{run.out} has no {task.name} prompt with all its {task.repeats} pictures judged; see what failed above")
    responses = folder.responses(task.name, repair=False)
    files = [[run.out / str(responses[one.id, repeat].image) for repeat in range(task.repeats)] for one in whole]
    flat = [(sample.prompt, file) for sample, own in zip(whole, files, strict=True) for file in own]

    def score(name: str, batch: Sequence[tuple[str, Path]]) -> Callable[[], Sequence[float]]:
        prompts, pictures = [prompt for prompt, _ in batch], [open_image(file) for _, file in batch]
        return lambda: rewards[name].score_images(prompts, pictures)

    numbers, seconds = _scored(rewards, flat, score, "pictures", screen)
    verdicts = [sorted(judged[sample.id], key=lambda verdict: verdict.repeat) for sample in whole]
    samples = Samples(
        clusters=tuple(sample.cluster for sample in whole),
        rewards={name: values.reshape(len(whole), -1) for name, values in numbers.items()},
        words=np.repeat([[len(sample.prompt.split())] for sample in whole], task.repeats, axis=1),
        verdict=np.array([[_number(verdict) for verdict in own] for own in verdicts]),
    )
    return Sampled([sample.prompt for sample in whole], files, samples, seconds, len(task.samples) - len(whole))


def write(
    model: ImageToText,
    identity: str,
    rewards: Mapping[str, CaptionReward],
    *,
    pictures: int,
    repeats: int,
    seed: int,
    out: Path,
    screen: Screen,
) -> Sampled:
    """`repeats` captions at temperature 1 of each of the world's val pictures, kept in the ledger `out`; the verdict is
    whether each thing a caption says is true. `identity` names the weights, so that no others' captions are taken for theirs."""
    scenes = list(_scenes(pictures))
    shown = [picture(one) for one in scenes]
    ledger = Ledger(out)
    mine = {"weights": identity, "seed": seed}
    known = {(row["picture"], row["repeat"]): row["text"] for row in ledger.repair(lambda row: row.items() >= mine.items())}
    keys = [(i, k) for i in range(pictures) for k in range(repeats)]
    missing = [key for key in keys if key not in known]
    with screen.bar("captions", len(missing)) as bar:
        for batch in _batches(missing):
            texts = model.answer(
                [[shown[i]] for i, _ in batch],
                [CAPTION_REQUEST] * len(batch),
                seeds=[seed_of(seed, "captions", str(i), k) for i, k in batch],
                sampling=TextSampling(temperature=1.0, max_new_tokens=LONGEST),
            )
            fresh = dict(zip(batch, texts, strict=True))
            ledger.append({**mine, "picture": i, "repeat": k, "text": text} for (i, k), text in fresh.items())
            known |= fresh
            bar.advance(len(batch))

    def score(name: str, batch: Sequence[tuple[int, int]]) -> Callable[[], Sequence[float]]:
        return lambda: rewards[name].score_captions([shown[i] for i, _ in batch], [known[key] for key in batch])

    numbers, seconds = _scored(rewards, keys, score, "captions", screen)
    captions = [[known[i, k] for k in range(repeats)] for i in range(pictures)]
    samples = Samples(
        clusters=tuple(map(str, range(pictures))),
        rewards={name: values.reshape(pictures, repeats) for name, values in numbers.items()},
        words=np.array([[len(text.split()) for text in own] for own in captions]),
        verdict=np.array([[faithful(text, one) for text in own] for own, one in zip(captions, scenes, strict=True)], float),
    )
    return Sampled(shown, captions, samples, seconds)


def _scored(
    rewards: Mapping[str, Any],
    items: Sequence[Any],
    score: Callable[[str, Any], Callable[[], Sequence[float]]],
    what: str,
    screen: Screen,
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Each reward's numbers of all items, and its seconds for one; `score` gets a batch ready, and what it returns is timed."""
    numbers, seconds = {}, {}
    for name in rewards:
        values: list[float] = []
        spent = 0.0
        with screen.bar(f"{name} of {what}", len(items)) as bar:
            for batch in _batches(items):
                ready = score(name, batch)
                start = time.perf_counter()
                values += ready()
                spent += time.perf_counter() - start
                bar.advance(len(batch))
        if not np.isfinite(values).all():
            raise UserError(f"reward '{name}' gives no number for some of the {what}; leave it out of --rewards")
        numbers[name], seconds[name] = np.array(values, float), spent / len(items)
    return numbers, seconds


def _number(verdict: Verdict) -> float:
    return next((float(verdict.scores[name]) for name in NUMBERS if name in verdict.scores), math.nan)


def _scenes(count: int) -> Iterator[Scene]:
    """Of the val split, the families in turn."""
    families = list(FAMILIES)
    return (scene([families[i % len(families)]], stream("reward compare", i)) for i in range(count))


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[i : i + BATCH] for i in range(0, len(items), BATCH))
