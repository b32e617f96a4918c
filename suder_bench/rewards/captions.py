"""Captions to compare rewards on: a model's own of the world's pictures, or some made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from suder_bench.data.prompts import CAPTION_REQUEST
from suder_bench.errors import UserError
from suder_bench.models.protocols import ImageToText, TextSampling
from suder_bench.records import open_image
from suder_bench.rewards.compare import Samples
from suder_bench.rewards.protocols import CaptionReward
from suder_bench.rewards.sampled import Sampled
from suder_bench.rewards.scoring import batches, score
from suder_bench.runs.jsonl import Ledger
from suder_bench.runs.plan import seed_of
from suder_bench.runs.screen import Screen
from suder_bench.world.examples import scene, stream
from suder_bench.world.language import FAMILIES
from suder_bench.world.reading import faithful
from suder_bench.world.render import picture
from suder_bench.world.scenes import Scene

LONGEST = 64
"""Tokens of a caption. The world's are shorter."""


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
    request = getattr(model, "caption_request", CAPTION_REQUEST)
    missing = [(i, k) for i in range(pictures) for k in range(repeats) if (i, k) not in known]
    with screen.bar("captions", len(missing)) as bar:
        for batch in batches(missing):
            texts = model.answer(
                [[shown[i]] for i, _ in batch],
                [request] * len(batch),
                seeds=[seed_of(seed, "captions", str(i), k) for i, k in batch],
                sampling=TextSampling(temperature=1.0, max_new_tokens=LONGEST),
            )
            fresh = dict(zip(batch, texts, strict=True))
            ledger.append({**mine, "picture": i, "repeat": k, "text": text} for (i, k), text in fresh.items())
            known |= fresh
            bar.advance(len(batch))
    captions = [[known[i, k] for k in range(repeats)] for i in range(pictures)]
    verdict = np.array([[faithful(text, one) for text in own] for own, one in zip(captions, scenes, strict=True)], float)
    return _rewarded(shown, captions, list(map(str, range(pictures))), verdict, rewards, screen)


def read(file: Path) -> dict[str, list[str]]:
    """Captions made elsewhere, by picture: lines of JSON with `image` (a file, beside this one where it is not absolute) and
    `caption`.

    Raises `UserError` naming the line that is none, and where no picture has two captions.
    """
    if not file.is_file():
        raise UserError(f"--captions '{file}' is neither a number of pictures nor a file of captions")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--captions '{file}' cannot be read ({error}); write it as UTF-8") from None
    found: dict[str, list[str]] = {}
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: a caption may hold U+2028
        if line.strip():
            image, caption = _line(line, f"{file}:{number}")
            found.setdefault(image, []).append(caption)
    if max(map(len, found.values()), default=0) < 2:
        raise UserError(f"{file} has no picture with two captions, which leaves nothing to choose from; write several of each")
    return found


def rewarded(file: Path, rewards: Mapping[str, CaptionReward], screen: Screen) -> Sampled:
    """What `read` finds with every reward's numbers, judged by nobody. Pictures with fewer captions than others are skipped."""
    found = read(file)
    most = max(map(len, found.values()))
    whole = {image: captions for image, captions in found.items() if len(captions) == most}
    shown = [open_image(file.parent / image) for image in whole]
    sampled = _rewarded(shown, list(whole.values()), list(whole), None, rewards, screen)
    return Sampled(sampled.given, sampled.made, sampled.samples, sampled.costs, len(found) - len(whole))


def _line(line: str, where: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("image", "caption")):
        raise UserError(f'{where}: not a caption; write {{"image": "FILE", "caption": "TEXT"}}')
    return row["image"], row["caption"]


def _rewarded(
    shown: Sequence[Image.Image],
    captions: Sequence[Sequence[str]],
    clusters: Sequence[str],
    verdict: np.ndarray | None,
    rewards: Mapping[str, CaptionReward],
    screen: Screen,
) -> Sampled:
    """Captions (pictures, samples) with every reward's numbers."""
    keys = [(i, text) for i, own in enumerate(captions) for text in own]

    def prepare(name: str, batch: Sequence[tuple[int, str]]) -> Callable[[], Sequence[float]]:
        return lambda: rewards[name].score_captions([shown[i] for i, _ in batch], [text for _, text in batch])

    numbers, costs = score(rewards, keys, prepare, "captions", screen)
    samples = Samples(
        clusters=tuple(clusters),
        rewards={name: values.reshape(len(shown), -1) for name, values in numbers.items()},
        words=np.array([[len(text.split()) for text in own] for own in captions]),
        verdict=verdict,
    )
    return Sampled(shown, captions, samples, costs)


def _scenes(count: int) -> Iterator[Scene]:
    """Of the val split, the families in turn."""
    families = list(FAMILIES)
    return (scene([families[i % len(families)]], stream("reward compare", i)) for i in range(count))
