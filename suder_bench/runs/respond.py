"""The first stage: a model responds. A picture is on disk before its line, and nothing that failed leaves a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import cast

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
    TextLikelihood,
    TextToImage,
)
from suder_bench.records import Response
from suder_bench.runs import deviations
from suder_bench.runs.batches import BatchSize, Failure, tell
from suder_bench.runs.cells import cells
from suder_bench.runs.making import Asked, Made, Maker
from suder_bench.runs.plan import Item, Settings, Task, places
from suder_bench.runs.responses import Key
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder
from suder_bench.runs.workers.driver import Driver, Lot
from suder_bench.runs.workers.here import UNSEEN, Here, Holding

MODEL = "model"
"""The kind of workers that respond."""


def check_able(model: Model, tasks: Sequence[Task], sampling: ImageSampling) -> None:
    """Raise `UserError` when the model cannot do what a benchmark asks, or not as asked, before anything is done."""
    for task in tasks:
        if task.draws and not isinstance(model, TextToImage | StoredPictures):
            raise UserError(f"model '{model.name}' draws no pictures, which {task.name} asks for; choose --suite und")
        if task.draws and isinstance(model, StoredPictures):
            model.pictures(cast(GenerationBenchmark, task.benchmark))  # which says where there are none
        if ranks(task) and not isinstance(model, TextLikelihood):
            raise UserError(
                f"model '{model.name}' has no text_logprobs, by which {task.name} ranks its choices; leave out --protocol"
                f" {task.protocol}"
            )
        if not task.draws and not ranks(task) and not isinstance(model, ImageToText):
            raise UserError(f"model '{model.name}' answers no questions, which {task.name} asks for; choose --suite gen")
        if any(sample.draw for sample in task.samples) and not isinstance(model, TextToImage):
            raise UserError(f"model '{model.name}' draws no pictures, which {task.name} wants before its answers; leave it out")
        if not task.draws and isinstance(model, LimitsPictures):
            _check_pictures(model, task)
    check_sampling(model, sampling)


def ranks(task: Task) -> bool:
    """Whether a model is asked how likely it finds answers, and not for one."""
    return any(sample.choices for sample in task.samples)


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
    made: MutableMapping[Key, Response],
    model: Model,
    folder: RunFolder,
    settings: Settings,
    size: BatchSize,
    screen: Screen,
) -> list[Failure[Item]]:
    """Make and keep the responses of a task that are not in `made`, and add them there; returns those that failed."""
    lot = lot_of(task, made, folder, tell_of_pictures(task, model, screen))
    maker = Maker(model, settings.image, settings.text, size, UNSEEN, {task.name: task.benchmark})
    items = unmade(task, made)
    driver = Driver(Here(), [(MODEL, Holding(maker))], screen)
    driver.muster(MODEL)
    driver.add(lot, cells(task, items, size.value))
    driver.run(task.name, len(items))
    tell_failed(task, lot, screen)
    return lot.failures


def unmade(task: Task, made: Mapping[Key, Response]) -> list[Item]:
    return [item for item in task.items if item.key not in made]


def lot_of(
    task: Task,
    made: MutableMapping[Key, Response],
    folder: RunFolder,
    rewritten: Mapping[str, str],
    came: Callable[[Sequence[Item]], None] = lambda items: None,
) -> Lot[Item]:
    """The work of responding to a task: what comes is kept in the folder and in `made`, and then told to `came`."""

    def keep(pairs: Sequence[tuple[Item, Made]]) -> None:
        responses = [_kept(task, folder, rewritten, item, one) for item, one in pairs]
        folder.add_responses(task.name, responses)
        made.update({(response.sample, response.repeat): response for response in responses})
        came([item for item, _ in pairs])

    text = task.text
    return Lot(task.name, MODEL, pack=lambda items: Asked(task.name, task.draws, tuple(items), text), keep=keep)


def tell_failed(task: Task, lot: Lot[Item], screen: Screen) -> None:
    """In the order of the plan, whichever failed first."""
    if lot.failures:
        place = places(task.items)
        lot.failures.sort(key=lambda failure: place(*failure.item.key) or 0)
    tell(lot.failures, lambda item: f"{task.name} {item.sample.id}, repeat {item.repeat}", screen)


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


def tell_cut(task: Task, cut: Mapping[str, int], screen: Screen) -> None:
    prompts = len({sample.prompt for sample in task.samples})
    for reader, count in cut.items():
        screen.say(f"{task.name}: {count:,} of {prompts:,} prompts are longer than {reader} reads; the end of each is cut off")


def tell_of_pictures(task: Task, model: Model, screen: Screen) -> dict[str, str]:
    """Say which stored pictures are not scored and that prompts were rewritten; returns `rewritten_prompts`."""
    rewritten = rewritten_prompts(task, model)
    for line in deviations.told(task.name, task.samples, rewritten):
        screen.say(line)
    tell_cut(task, cut_prompts(task, model), screen)
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


def _kept(task: Task, folder: RunFolder, rewritten: Mapping[str, str], item: Item, made: Made) -> Response:
    text = image = None
    if isinstance(made.content, str):
        text = made.content
    else:
        benchmark = cast(GenerationBenchmark, task.benchmark)
        worded = replace(item.sample, prompt=rewritten.get(item.sample.id, item.sample.prompt))
        for relative, side in benchmark.sidecars(worded).items():
            folder.save_text(side, f"images/{task.name}/{relative}")
        image = f"images/{task.name}/{benchmark.image_path(item.sample, item.repeat)}"
        folder.save_encoded(made.content, image)
    return Response(
        benchmark=task.name,
        sample=item.sample.id,
        repeat=item.repeat,
        seed=item.seed,
        digest=made.digest,
        text=text,
        image=image,
        seconds=round(made.seconds, 4),
    )
