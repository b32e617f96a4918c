"""The first stage: a model responds. A picture is on disk before its line, and nothing that failed leaves a line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from PIL import Image

from suder_bench.benchmark import GenerationBenchmark
from suder_bench.errors import UserError
from suder_bench.models.protocols import (
    ChecksSampling,
    CutsPrompts,
    ImageSampling,
    ImageToText,
    LimitsPictures,
    Model,
    StoredPictures,
    TellsOfPictures,
    TextToImage,
)
from suder_bench.records import Response, open_image
from suder_bench.runs import deviations
from suder_bench.runs.batches import BatchSize, Failure, tell, work
from suder_bench.runs.plan import Item, Settings, Task
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import Key, RunFolder, text_digest

Timed = tuple[Item, Image.Image | str, float]
"""An item, what was made of it, and its share of the batch's seconds."""


def check_able(model: Model, tasks: Sequence[Task], sampling: ImageSampling) -> None:
    """Raise `UserError` when the model cannot do what a benchmark asks, or not as asked, before anything is done."""
    for task in tasks:
        if task.draws and not isinstance(model, TextToImage | StoredPictures):
            raise UserError(f"model '{model.name}' draws no pictures, which {task.name} asks for; choose --suite und")
        if task.draws and isinstance(model, StoredPictures):
            model.pictures(cast(GenerationBenchmark, task.benchmark))  # which says where there are none
        if not task.draws and not isinstance(model, ImageToText):
            raise UserError(f"model '{model.name}' answers no questions, which {task.name} asks for; choose --suite gen")
        if not task.draws and isinstance(model, LimitsPictures):
            _check_pictures(model, task)
    check_sampling(model, sampling)


def _check_pictures(model: LimitsPictures, task: Task) -> None:
    fewest, most = model.question_pictures
    counts = [len(sample.images) for sample in task.samples]
    beyond = [count for count in counts if count < fewest or (most is not None and count > most)]
    if beyond:
        takes = f"{fewest} picture a question" if fewest == most else f"{fewest} to {most or 'any number of'} pictures a question"
        raise UserError(
            f"model '{cast(Model, model).name}' takes {takes}, but {len(beyond):,} of {task.name}'s {len(counts):,} have "
            f"{beyond[0]}; leave {task.name} out: name the others with --benchmark"
        )


def check_sampling(model: Model, sampling: ImageSampling) -> None:
    """Raise `UserError` for settings that the model cannot follow."""
    if isinstance(model, ChecksSampling):
        model.check_sampling(sampling)
    elif sampling.steps is not None:
        raise UserError(f"model '{model.name}' draws in no steps; leave out --steps")


def respond(
    task: Task,
    made: dict[Key, Response],
    model: Model,
    folder: RunFolder,
    settings: Settings,
    size: BatchSize,
    screen: Screen,
) -> list[Failure[Item]]:
    """Make and keep the responses of a task that are not in `made`, and add them there; returns those that failed."""
    items = [item for item in task.items if item.key not in made]
    if not items:
        return []
    make = _maker(task, model, settings)
    rewritten = tell_of_pictures(task, model, screen)

    def do(batch: Sequence[Item]) -> list[Timed]:
        start = time.perf_counter()
        contents = make(batch)
        seconds = (time.perf_counter() - start) / len(batch)
        return [(item, content, seconds) for item, content in zip(batch, contents, strict=True)]

    def keep(batch: Sequence[Timed]) -> None:
        responses = [_kept(task, folder, rewritten, *timed) for timed in batch]
        folder.add_responses(task.name, responses)
        made.update({(response.sample, response.repeat): response for response in responses})

    with screen.bar(task.name, len(items)) as bar:
        failures = work(items, do, keep, size=size, bar=bar)
    tell(failures, lambda item: f"{task.name} {item.sample.id}, repeat {item.repeat}", screen)
    return failures


def rewritten_prompts(task: Task, model: Model) -> dict[str, str]:
    """{sample id: prompt} of the task's pictures that were made from other prompts than the benchmark's."""
    if not task.draws or not isinstance(model, TellsOfPictures):
        return {}
    asked = {sample.id for sample in task.samples}
    found = model.rewritten(cast(GenerationBenchmark, task.benchmark))
    return {name: prompt for name, prompt in found.items() if name in asked}


def cut_prompts(task: Task, model: Model) -> dict[str, int]:
    """{what reads no further: how many of the task's distinct prompts are longer}."""
    if not task.draws or not isinstance(model, CutsPrompts):
        return {}
    return dict(model.cut_prompts([sample.prompt for sample in task.samples]))


def tell_of_pictures(task: Task, model: Model, screen: Screen) -> dict[str, str]:
    """Say which stored pictures are not scored and that prompts were rewritten; returns `rewritten_prompts`."""
    rewritten = rewritten_prompts(task, model)
    for line in deviations.told(task.name, task.samples, rewritten):
        screen.say(line)
    for reader, count in cut_prompts(task, model).items():
        prompts = len({sample.prompt for sample in task.samples})
        screen.say(f"{task.name}: {count:,} of {prompts:,} prompts are longer than {reader} reads; the end of each is cut off")
    if task.draws and isinstance(model, TellsOfPictures):
        strangers = model.strangers(cast(GenerationBenchmark, task.benchmark))
        screen.say_some([deviations.skipped(task.name, stranger) for stranger in strangers], "pictures that are not read")
    if task.draws and isinstance(model, StoredPictures):
        asked = {sample.id for sample in task.samples}
        beyond = [
            key for key in model.pictures(cast(GenerationBenchmark, task.benchmark)) if key[1] >= task.repeats and key[0] in asked
        ]
        if beyond:
            most = max(repeat for _, repeat in beyond) + 1
            screen.say(
                f"{task.name}: {len(beyond):,} pictures beyond {task.repeats} of a prompt are not taken; --repeats {most} would"
            )
    return rewritten


def _maker(task: Task, model: Model, settings: Settings) -> Callable[[Sequence[Item]], Sequence[Image.Image | str]]:
    """How this model responds to a batch of this task's items."""
    if isinstance(model, StoredPictures):
        stored = model.pictures(cast(GenerationBenchmark, task.benchmark))
        return lambda batch: [_stored(stored, item) for item in batch]
    if isinstance(model, TextToImage) and task.draws:
        return lambda batch: [
            generated.picture
            for generated in model.generate(
                [item.sample.prompt for item in batch], seeds=[item.seed for item in batch], sampling=settings.image
            )
        ]
    reader = cast(ImageToText, model)
    return lambda batch: reader.answer(
        [[open_image(source) for source in item.sample.images] for item in batch],
        [item.sample.prompt for item in batch],
        seeds=[item.seed for item in batch],
        sampling=settings.text,
    )


def _stored(pictures: Mapping[tuple[str, int], Path], item: Item) -> Image.Image:
    if item.key not in pictures:
        raise UserError(f"no picture {item.repeat} of sample {item.sample.id} in the folder")
    return open_image(pictures[item.key])


def _kept(
    task: Task, folder: RunFolder, rewritten: Mapping[str, str], item: Item, content: Image.Image | str, seconds: float
) -> Response:
    text = image = None
    if isinstance(content, str):
        text, digest = content, text_digest(content)
    else:
        benchmark = cast(GenerationBenchmark, task.benchmark)
        worded = replace(item.sample, prompt=rewritten.get(item.sample.id, item.sample.prompt))
        for relative, side in benchmark.sidecars(worded).items():
            folder.save_text(side, f"images/{task.name}/{relative}")
        image = f"images/{task.name}/{benchmark.image_path(item.sample, item.repeat)}"
        digest = folder.save_picture(content, image)
    return Response(
        benchmark=task.name,
        sample=item.sample.id,
        repeat=item.repeat,
        seed=item.seed,
        digest=digest,
        text=text,
        image=image,
        seconds=round(seconds, 4),
    )
