"""Pictures to compare rewards on: drawn and judged by a run, drawn for prompts of one's own, or made elsewhere."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from suder_bench import registry
from suder_bench.errors import UserError
from suder_bench.models.protocols import ImageSampling, Model, TextToImage
from suder_bench.records import open_image
from suder_bench.rewards.compare import Samples
from suder_bench.rewards.evaluator import number_of
from suder_bench.rewards.protocols import CreditsRegions, PictureReward
from suder_bench.rewards.regions import Regions
from suder_bench.rewards.scoring import Cost, batches, score
from suder_bench.runs import shapes
from suder_bench.runs.execute import Run
from suder_bench.runs.jsonl import Ledger, Row, replace_file
from suder_bench.runs.plan import Task, plan, seed_of
from suder_bench.runs.recipe import settings_of
from suder_bench.runs.score import judged_rows
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

DRAWN: shapes.Shape = {"prompt": "text", "repeat": "count", "image": "name"}
"""A line of the pictures that were drawn for prompts of one's own, besides what tells the model."""


@dataclass(frozen=True)
class Pictures:
    """As many picture files of each prompt. `verdict` is (prompts, samples), None where nobody judges; `clusters` names what
    the bootstrap resamples; `skipped` counts prompts that lack a picture."""

    prompts: Sequence[str]
    files: Sequence[Sequence[Path]]
    clusters: Sequence[str]
    verdict: np.ndarray | None = None
    skipped: int = 0

    def fewer(self, limit: int | None) -> Pictures:
        """At most `limit` of the prompts, evenly spread; all for None."""
        if limit is None or limit >= len(self.prompts):
            return self
        chosen = [i * len(self.prompts) // limit for i in range(limit)]
        return Pictures(
            prompts=[self.prompts[i] for i in chosen],
            files=[self.files[i] for i in chosen],
            clusters=[self.clusters[i] for i in chosen],
            verdict=None if self.verdict is None else self.verdict[chosen],
            skipped=self.skipped,
        )


@dataclass(frozen=True)
class Sampled:
    """Samples with what made them. `given` holds a text for each prompt, or a picture; `made` (prompts, samples) picture
    files, or captions. `costs` are each reward's for one sample; `skipped` counts prompts that lack a sample. `regions` are as
    `made`, of rewards that know them."""

    given: Sequence[str] | Sequence[Image.Image]
    made: Sequence[Sequence[Path]] | Sequence[Sequence[str]]
    samples: Samples
    costs: Mapping[str, Cost]
    skipped: int = 0
    regions: Mapping[str, Sequence[Sequence[Regions]]] = field(default_factory=dict)


def draw(run: Run, model: Model, screen: Screen) -> Pictures:
    """The run's pictures, drawn by the model, or workers that load it too, and judged where they are not yet.

    Raises `UserError` when nothing was judged.
    """
    run.execute(screen, (lambda: model) if run.staffing.alone else None)
    [task] = plan(run.settings, screen.say)
    lacks = f"{run.out} has no {task.name} prompt with all its {task.repeats} pictures judged"
    return _judged(task, RunFolder(run.out), f"{lacks}; where there are fewer of each, give --samples N")


def benchmark_of(path: Path, benchmark: str | None) -> tuple[str, dict[str, Any]]:
    """The benchmark of a run whose pictures are taken, by default its only or first one that draws, and the run's recipe.

    Raises `UserError` for what is no run, or has no such pictures.
    """
    recipe = RunFolder(path).read()
    if recipe is None:
        raise UserError(f"'{path}' is not a run folder (no run.json); pictures made elsewhere need --images")
    drawing = [name for name in recipe["benchmarks"] if registry.load("benchmarks", name).kind == "generation"]
    if not drawing or (benchmark is not None and benchmark not in drawing):
        wanted = "pictures of a benchmark" if benchmark is None else f"{benchmark} pictures"
        raise UserError(f"{path} has no {wanted} (it has: {', '.join(recipe['benchmarks'])}); choose another run or --prompts")
    return benchmark or drawing[0], recipe


def of_run(path: Path, benchmark: str, screen: Screen, *, offline: bool) -> Pictures:
    """The pictures and verdicts of a finished run. Raises `UserError` for fewer than two pictures of a prompt, or no verdicts."""
    name, recipe = benchmark_of(path, benchmark)
    settings = settings_of(recipe, judges=recipe.get("judge_choice", {}), offline=offline)
    [task] = plan(replace(settings, benchmarks=(name,)), screen.say)
    if task.repeats < 2:
        raise UserError(
            f"{path} has one {name} picture of a prompt, which leaves nothing to choose from; run it with --repeats 8"
        )
    lacks = f"{path} has no {name} prompt with all its {task.repeats} pictures judged; suder-bench score {path} judges them"
    return _judged(task, RunFolder(path), lacks)


def for_prompts(
    model: TextToImage,
    identity: Mapping[str, Any],
    prompts: Sequence[str],
    *,
    repeats: int,
    seed: int,
    sampling: ImageSampling,
    out: Path,
    screen: Screen,
    fresh: bool = False,
) -> Pictures:
    """`repeats` pictures of each prompt, which nobody judges, kept in the folder `out`; a prompt that comes twice counts once.

    `identity` tells the weights and settings, so that no others' pictures are taken for theirs; `fresh` takes none at all.
    """
    different = list(dict.fromkeys(prompts))
    mine = {**identity, "seed": seed}

    def whole(row: Row) -> bool:
        try:
            shapes.check(row, DRAWN)
        except shapes.ShapeError:
            return False
        return not fresh and row.items() >= mine.items() and (out / row["image"]).is_file()

    ledger = Ledger(out / "responses")
    known = {(row["prompt"], row["repeat"]): out / row["image"] for row in ledger.repair(whole)}
    keys = [(prompt, k) for prompt in different for k in range(repeats)]
    missing = [key for key in keys if key not in known]
    if len(missing) < len(keys):
        screen.say(f"resuming: {len(keys) - len(missing):,} of {len(keys):,} done")
    with screen.bar("pictures", len(missing)) as bar:
        for batch in batches(missing):
            seeds = [seed_of(seed, "prompts", prompt, k) for prompt, k in batch]
            made = model.generate([prompt for prompt, _ in batch], seeds=seeds, sampling=sampling)
            names = [f"images/{each:016x}.png" for each in seeds]
            for name, one in zip(names, made, strict=True):
                _save(one.picture, out / name)
            rows = zip(batch, names, strict=True)
            ledger.append({**mine, "prompt": prompt, "repeat": k, "image": name} for (prompt, k), name in rows)
            known |= {key: out / name for key, name in zip(batch, names, strict=True)}
            bar.advance(len(batch))
    return Pictures(different, [[known[prompt, k] for k in range(repeats)] for prompt in different], different)


def rewarded(pictures: Pictures, rewards: Mapping[str, PictureReward], screen: Screen) -> Sampled:
    """The pictures with every reward's numbers. Raises `UserError` for a reward that gives no number."""
    flat = [(prompt, file) for prompt, own in zip(pictures.prompts, pictures.files, strict=True) for file in own]
    regions: dict[str, list[Regions]] = {}

    def prepare(name: str, batch: Sequence[tuple[str, Path]]) -> Callable[[], Sequence[float]]:
        prompts, shown = [prompt for prompt, _ in batch], [open_image(file) for _, file in batch]

        def ready() -> Sequence[float]:
            reward = rewards[name]
            numbers = reward.score_images(prompts, shown)
            if isinstance(reward, CreditsRegions):
                regions.setdefault(name, []).extend(reward.regions(prompts, shown))
            return numbers

        return ready

    numbers, costs = score(rewards, flat, prepare, "pictures", screen)
    count = len(pictures.prompts)
    samples = Samples(
        clusters=tuple(pictures.clusters),
        rewards={name: values.reshape(count, -1) for name, values in numbers.items()},
        words=np.repeat([[len(prompt.split())] for prompt in pictures.prompts], len(flat) // count, axis=1),
        verdict=pictures.verdict,
    )
    size = len(flat) // count
    of_samples = {name: [found[i : i + size] for i in range(0, len(found), size)] for name, found in regions.items()}
    return Sampled(pictures.prompts, pictures.files, samples, costs, pictures.skipped, of_samples)


def _judged(task: Task, folder: RunFolder, lacks: str) -> Pictures:
    """The prompts of a task that have all their pictures and verdicts. Raises `UserError(lacks)` where there is none."""
    judged: dict[str, dict[int, float]] = {}
    for sample, verdict in judged_rows(task, (folder.read() or {"judges": {}})["judges"].get(task.name, {}), folder):
        number = number_of(verdict)
        if number is not None and math.isfinite(number):
            judged.setdefault(sample.id, {})[verdict.repeat] = number
    whole = [sample for sample in task.samples if len(judged.get(sample.id, [])) == task.repeats]
    if not whole:
        raise UserError(lacks)
    responses = folder.responses(task.name, repair=False)
    return Pictures(
        prompts=[sample.prompt for sample in whole],
        files=[[folder.path / str(responses[one.id, repeat].image) for repeat in range(task.repeats)] for one in whole],
        clusters=[sample.cluster for sample in whole],
        verdict=np.array([[judged[sample.id][repeat] for repeat in range(task.repeats)] for sample in whole]),
        skipped=len(task.samples) - len(whole),
    )


def _save(picture: Image.Image, file: Path) -> None:
    content = io.BytesIO()
    picture.convert("RGB").save(content, format="PNG")
    replace_file(file, content.getvalue())
