"""How a model makes responses, wherever it is: what comes out is encoded, so that it can be kept here or sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from PIL import Image

from suder_bench.benchmark import Benchmark, GenerationBenchmark
from suder_bench.errors import UserError
from suder_bench.models.protocols import (
    ImageSampling,
    ImageToText,
    Model,
    StoredPictures,
    TextLikelihood,
    TextSampling,
    TextToImage,
)
from suder_bench.records import content, open_image
from suder_bench.runs.batches import Batch, BatchSize, Lost, attempts
from suder_bench.runs.encoding import encoded, text_digest
from suder_bench.runs.plan import Item
from suder_bench.runs.ranking import rank
from suder_bench.runs.workers.protocol import Card, Part


@dataclass(frozen=True)
class Made:
    """A text, or a picture as the bytes of its PNG. `seconds` is its share of the time that the model took for its batch."""

    content: str | bytes
    digest: str
    seconds: float


@dataclass(frozen=True)
class Asked:
    """A chunk: items of one benchmark; `draws` tells whether they ask for pictures, `text` how answers are written where that is
    the benchmark's to say."""

    benchmark: str
    draws: bool
    items: tuple[Item, ...]
    text: TextSampling | None = None

    def loaded(self) -> Asked:
        """With the content of the pictures that questions are about, for a worker that cannot read this machine's files."""
        items = [
            replace(item, sample=replace(item.sample, images=tuple(map(content, item.sample.images)))) for item in self.items
        ]
        return replace(self, items=tuple(items))


@dataclass
class Maker:
    """A model as a worker's hand. `benchmarks` by name are needed for pictures made elsewhere alone."""

    model: Model
    image: ImageSampling
    text: TextSampling
    size: BatchSize
    shows: Card
    benchmarks: Mapping[str, Benchmark] = field(default_factory=dict)

    def card(self) -> Card:
        return self.shows

    def prepare(self, chunk: Asked) -> None:
        pass

    def do(self, chunk: Asked) -> Iterator[Part]:
        make = self._way(chunk)

        def timed(batch: Sequence[Item]) -> list[Made]:
            start = time.perf_counter()
            contents = make(batch)
            seconds = (time.perf_counter() - start) / len(batch)
            return [_made(content, seconds) for content in contents]

        for found in attempts(chunk.items, timed, size=self.size):
            if isinstance(found, Batch):
                yield Part(results=tuple(enumerate(found.results, found.start)))
            elif isinstance(found, Lost):
                yield Part(failures=((found.index, found.error),))
            else:
                yield Part(said=(str(found),))

    def _way(self, chunk: Asked) -> Callable[[Sequence[Item]], Sequence[Image.Image | str]]:
        """How the model responds to a batch of items of this benchmark."""
        model = self.model
        if isinstance(model, StoredPictures):
            stored = model.pictures(cast(GenerationBenchmark, self.benchmarks[chunk.benchmark]))
            return lambda batch: [_stored(stored, item) for item in batch]
        if isinstance(model, TextToImage) and chunk.draws:
            return lambda batch: [
                generated.picture
                for generated in model.generate(
                    [item.sample.prompt for item in batch], seeds=[item.seed for item in batch], sampling=self.image
                )
            ]
        if any(item.sample.choices for item in chunk.items):
            scorer = cast(TextLikelihood, model)
            return lambda batch: rank(scorer, batch)
        reader, sampling = cast(ImageToText, model), chunk.text or self.text
        return lambda batch: reader.answer(
            [[*shown, *drawn] for shown, drawn in zip(_opened(batch), self._drawn(batch), strict=True)],
            [item.sample.prompt for item in batch],
            seeds=[item.seed for item in batch],
            sampling=sampling,
        )

    def _drawn(self, batch: Sequence[Item]) -> list[list[Image.Image]]:
        """What the model draws before it answers: for each item a picture, or none."""
        asking = [item for item in batch if item.sample.draw]
        if not asking:
            return [[] for _ in batch]
        drawn = iter(
            cast(TextToImage, self.model).generate(
                [item.sample.draw for item in asking], seeds=[item.seed for item in asking], sampling=self.image
            )
        )
        return [[next(drawn).picture] if item.sample.draw else [] for item in batch]


def _opened(batch: Sequence[Item]) -> list[list[Image.Image]]:
    """The pictures that each question is about; several questions about one get the same object."""
    sources = dict.fromkeys(source for item in batch for source in item.sample.images)
    opened = {source: open_image(source) for source in sources}
    return [[opened[source] for source in item.sample.images] for item in batch]


def _made(content: Image.Image | str, seconds: float) -> Made:
    if isinstance(content, str):
        return Made(content, text_digest(content), seconds)
    picture, digest = encoded(content)
    return Made(picture, digest, seconds)


def _stored(pictures: Mapping[tuple[str, int], Path], item: Item) -> Image.Image:
    if item.key not in pictures:
        raise UserError(f"no picture {item.repeat} of sample {item.sample.id} in the folder")
    return open_image(pictures[item.key])
