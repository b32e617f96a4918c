"""The small frozen records that travel between data, models, benchmarks and the run folder."""

from __future__ import annotations

import io
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from suder_bench.errors import PictureError
from suder_bench.rgb import to_rgb


class Embedded(ABC):
    """A picture inside a file that holds many, read when somebody looks at it. Equal ones are one picture.

    `name` is the picture's own file name, where the benchmark gives it one, else "". `mark` is what it counts as in a digest of
    questions; where it is "", its content does.
    """

    name: str
    mark: str = ""

    @abstractmethod
    def read(self) -> bytes:
        """Its encoded bytes. Raises `PictureError` naming the place where they cannot be had."""
        ...

    @property
    def place(self) -> tuple[Path, str] | None:
        """The file that it is inside of, and where; None where that is not told."""
        return None

    def alone(self) -> bool:
        """Whether what it is changes with the file of its `place` only. Raises what `read` raises."""
        return False


ImageSource = Path | bytes | Embedded
REVISED = "revised_prompt"
"""Of a picture's `info`, the prompt that it was drawn from, where a server rewrote the one it was sent."""

NOTHING: Mapping[str, Any] = MappingProxyType({})


def open_image(source: ImageSource) -> Image.Image:
    """Decode a picture from a file, from encoded bytes or from inside a file, as 8-bit RGB (see `to_rgb`).

    Raises `PictureError` for what cannot be read, what would unpack to hundreds of millions of pixels, and a CMYK picture
    called .png: PNG has no such colours, and readers turn them into different ones.
    """
    encoded = source.read() if isinstance(source, Embedded) else source
    try:
        if isinstance(encoded, Path) and not stat.S_ISREG(kind := encoded.stat().st_mode) and not stat.S_ISDIR(kind):
            raise ValueError("a pipe or a device, and no file")  # nobody may ever write into it
        with Image.open(encoded if isinstance(encoded, Path) else io.BytesIO(encoded)) as opened:
            if opened.mode == "CMYK" and isinstance(source, Path) and source.suffix.lower() == ".png":
                raise ValueError(f"a CMYK {opened.format} called .png; save it as an RGB PNG")
            return to_rgb(opened)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds on damaged files
        name = "a picture inside a file" if isinstance(source, bytes) else source
        raise PictureError(f"{name} is not a readable picture ({_why(error)})") from None


def content(source: ImageSource) -> ImageSource:
    """The encoded bytes of a picture, or its file where that cannot be read, so that whoever opens it says why."""
    try:
        if isinstance(source, Embedded):
            return source.read()
        return source if isinstance(source, bytes) else source.read_bytes()
    except (OSError, PictureError):
        return source


def _why(error: Exception) -> str:
    """Without the file's name, which Pillow adds to some."""
    if isinstance(error, UnidentifiedImageError):
        return "of no known format"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of a benchmark.

    `id` is unique in the benchmark and stable across runs; with the run's seed and the repeat it decides the
    random stream. `cluster` names what the bootstrap resamples: the prompt, the image, or the group of questions
    that a metric must see whole. `prompt` is the final text for the model (a prompt, or a question with its
    official wording). `truth` is the benchmark's own ground truth. Where there are `choices`, a model is not asked to
    write, but how likely it finds each of them after the prompt (`suder_bench.runs.ranking`). `draw` is what the model is to
    draw before it answers, "" for nothing: it is then shown that picture after the others.
    """

    id: str
    cluster: str
    prompt: str
    images: tuple[ImageSource, ...] = ()
    truth: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    choices: tuple[str, ...] = ()
    draw: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """What the model made of one sample and one repeat: `text`, or `image` (a path inside the run folder).

    `digest` is the sha256 of the text, or of the picture's size and RGB pixels.
    """

    benchmark: str
    sample: str
    repeat: int
    seed: int
    digest: str
    text: str | None = None
    image: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A sample with one response to it, as a benchmark judges it. `source` is the picture, for generation."""

    sample: Sample
    response: Response
    source: ImageSource | None = None

    @property
    def text(self) -> str:
        if self.response.text is None:
            raise ValueError(f"{self.response.benchmark}/{self.sample.id}: the response is a picture, not a text")
        return self.response.text

    def open_image(self) -> Image.Image:
        if self.source is None:
            raise ValueError(f"{self.response.benchmark}/{self.sample.id}: the response has no picture")
        return open_image(self.source)


@dataclass(frozen=True)
class Stranger:
    """A picture made elsewhere that is not scored, and why; `sample` is whose it would be but for its name."""

    file: Path
    why: str
    sample: Sample | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a benchmark says of one response: numbers, right or not (None where the benchmark has no such word), and why.

    `details` holds JSON values that a reader may want (boxes, probabilities, extracted letter).
    """

    benchmark: str
    sample: str
    repeat: int
    digest: str
    scores: Mapping[str, float]
    correct: bool | None
    reason: str
    details: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True)
class Statistic:
    """An aggregate of verdict rows as a function of their weights.

    `of` takes weights of shape (..., rows), one column per (sample, verdict) row in the order given to
    `Benchmark.statistics`, and returns shape (...). All ones gives the benchmark's number; bootstrap multiplicities
    give a resample. A weight is constant within a cluster, so group metrics may take a group's first row's weight.
    `n` counts the units averaged over (images, questions, groups). `scale` holds the ends that the metric cannot pass; with
    None a mean of rows that are all 0 or 1 is taken for a share of them, and of others no ends are known.

    A statistic of weighted sums alone is made `of_sums`, so that a bootstrap need add up each cluster's rows only once.
    """

    of: Callable[[np.ndarray], np.ndarray]
    n: int
    scale: tuple[float, float] | None = None
    columns: tuple[np.ndarray, ...] = ()
    combine: Callable[[Sequence[np.ndarray]], np.ndarray] | None = None

    @classmethod
    def of_sums(
        cls,
        columns: Sequence[np.ndarray],
        combine: Callable[[Sequence[np.ndarray]], np.ndarray],
        n: int,
        scale: tuple[float, float] | None = None,
    ) -> Statistic:
        """What `combine` makes of the weighted sum of each column, of shape (rows,); a sum has the shape (...) of the result."""
        return cls(lambda weights: combine([weights @ column for column in columns]), n, scale, tuple(columns), combine)


@dataclass(frozen=True)
class Metric:
    """A statistic's value with its 95 % interval; `low` and `high` are None where the clusters allow none.

    `few_clusters` counts the clusters that it rests on where they are fewer than ten, else None: its interval is then
    Student's t on their means, and there is none where it is no mean or they do not differ.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    few_clusters: int | None = None

    def document(self) -> dict[str, Any]:
        """The fields as JSON documents hold them: `few_clusters` is absent where it is None."""
        return {name: value for name, value in asdict(self).items() if name != "few_clusters" or value is not None}
