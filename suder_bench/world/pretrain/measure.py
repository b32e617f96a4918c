"""What a subject of the world can do: python -m suder_bench.world.pretrain.measure MODEL (a shipped name or a folder).

Prints one JSON document: GenEval and T2I-CompBench by their own rules; whether the model's own reward picks the right pictures
(mean, best, worst and oracle of 8 samples a prompt); the five understanding benchmarks; and captions. All are the world's test
files, and a model draws with the guidance that it asks for.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from PIL import Image

from suder_bench import registry
from suder_bench.data.prompts import CAPTION_REQUEST
from suder_bench.models.protocols import DualLikelihood, ImageSampling, ImageToText, Model, TextSampling, TextToImage
from suder_bench.models.reference import choose
from suder_bench.records import Answered, Response, Sample, Verdict, open_image
from suder_bench.rewards.dsr import Dsr
from suder_bench.world import tasks
from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.reading import faithful
from suder_bench.world.render import picture
from suder_bench.world.scenes import draw

SEED = (2506, 7963, 5)
GROUP = 8
BATCH = 32
LONGEST = 160
"""Tokens of an answer: the longest that tell all of a scene have half as many."""


@dataclass(frozen=True)
class Asked:
    """The size of a benchmark's test file, how many of its clusters (prompts, pictures, sets) are asked about in a quick
    measurement, and the metrics that are reported under the benchmark's name."""

    size: Literal["quick", "full"]
    quick: int
    metrics: tuple[str, ...]


CATEGORIES = ("color", "shape", "texture", "spatial", "non_spatial", "complex", "3d_spatial", "numeracy")
TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
DRAWN = {"geneval": Asked("quick", 48, ("overall", *TAGS)), "t2i-compbench": Asked("quick", 40, ("average", *CATEGORIES))}
READ = {
    "pope": Asked("quick", 20, ("f1_random", "mean_f1")),
    "hallusionbench": Asked("full", 35, ("average", "aAcc", "fAcc", "qAcc")),
    "llavabench": Asked("full", 12, ("all", "conv", "detail", "complex")),
    "mmbench": Asked("full", 120, ("vanilla/overall",)),
    "seedbench": Asked("full", 180, ("overall",)),
}
CAPTIONS = "captions"
SCENES = {False: 420, True: 140}
"""New scenes to be captioned, by whether the measurement is quick."""
ALL = (*DRAWN, *READ, CAPTIONS)

Rows = list[tuple[Sample, Verdict]]


def measure(reference: str, names: Sequence[str] = ALL, *, quick: bool = False) -> dict[str, float]:
    """The figures of one model, of the benchmarks in `names` and captions; all of them take minutes, `quick` about two."""
    chosen = choose(reference)
    model: Model = chosen.load(device="cpu", dtype="auto")
    figures: dict[str, float] = {}
    for name in names:
        if name == CAPTIONS:
            figures["caption_faithfulness"] = captions(cast(ImageToText, model), SCENES[quick])
            continue
        asked = DRAWN[name] if name in DRAWN else READ[name]
        with tempfile.TemporaryDirectory() as folder:
            tasks.write(Path(folder), size=asked.size, benchmarks=[name])
            benchmark = registry.load("benchmarks", name)(Path(folder))
            judges = {role: registry.load("judges", f"{role}/world").load() for role in benchmark.judge_roles}
            samples = share_of(benchmark.samples(), asked.quick if quick else None)
            if name in DRAWN:
                figures |= drawing(model, benchmark, samples, judges, asked, ImageSampling(guidance=chosen.guidance))
            else:
                figures |= reading(cast(ImageToText, model), benchmark, samples, judges, asked)
    return {name: round(value, 4) for name, value in figures.items()}


def drawing(
    model: Model, benchmark: Any, samples: Sequence[Sample], judges: Mapping[str, Any], asked: Asked, sampling: ImageSampling
) -> dict[str, float]:
    """The benchmark's metrics of 8 pictures a prompt, of the best and the worst of them by R_G, and of the best by an oracle;
    and where it is a matter of right and wrong, what the reward knows of that within a prompt."""
    reward = Dsr(cast(DualLikelihood, model))
    rows: Rows = []
    rewards: list[float] = []
    for i in range(0, len(samples), BATCH // GROUP):
        many = [sample for sample in samples[i : i + BATCH // GROUP] for _ in range(GROUP)]
        prompts = [sample.prompt for sample in many]
        seeds = range(i * GROUP, i * GROUP + len(many))
        pictures = [made.picture for made in cast(TextToImage, model).generate(prompts, seeds=seeds, sampling=sampling)]
        rewards += reward.score_images(prompts, pictures)
        answered = [_drawn(sample, j % GROUP, one) for j, (sample, one) in enumerate(zip(many, pictures, strict=True))]
        rows += zip(many, benchmark.verdicts(answered, judges), strict=True)
    scores = np.array(rewards).reshape(-1, GROUP)
    found = _metrics(benchmark, rows, asked)
    overall = next(iter(found))
    right = np.array([_rightness(verdict) for _, verdict in rows]).reshape(-1, GROUP)
    for picked, place in (("best", scores.argmax(1)), ("worst", scores.argmin(1)), ("oracle", right.argmax(1))):
        some = [rows[i * GROUP + int(k)] for i, k in enumerate(place)]
        found[f"{overall}_{picked}_of_8"] = _metrics(benchmark, some, asked)[overall]
        if picked == "best":
            found |= {f"{name}_best_of_8": value for name, value in _metrics(benchmark, some, asked).items()}
    if benchmark.name == "geneval":
        found |= {
            "mean_of_8": float(right.mean()),
            "best_of_8": float(np.take_along_axis(right, scores.argmax(1)[:, None], 1).mean()),
            "worst_of_8": float(np.take_along_axis(right, scores.argmin(1)[:, None], 1).mean()),
            "oracle_of_8": float(right.max(1).mean()),
            "reward_right": float(scores[right == 1].mean()),
            "reward_wrong": float(scores[right == 0].mean()),
            "auc_within_prompt": _auc(right, scores),
        }
    return found


def reading(
    model: ImageToText, benchmark: Any, samples: Sequence[Sample], judges: Mapping[str, Any], asked: Asked
) -> dict[str, float]:
    """The benchmark's metrics of greedy answers, and for POPE their accuracy over its three tracks."""
    rows: Rows = []
    for i in range(0, len(samples), BATCH):
        part = samples[i : i + BATCH]
        said = model.answer(
            [[open_image(source) for source in sample.images] for sample in part],
            [sample.prompt for sample in part],
            seeds=range(len(part)),
            sampling=TextSampling(max_new_tokens=LONGEST),
        )
        answered = [
            Answered(one, Response(benchmark.name, one.id, 0, 0, "", text=text)) for one, text in zip(part, said, strict=True)
        ]
        rows += zip(part, benchmark.verdicts(answered, judges), strict=True)
    found = _metrics(benchmark, rows, asked)
    if benchmark.name == "pope":
        found["pope_accuracy"] = float(np.mean([bool(verdict.correct) for _, verdict in rows]))
    return found


def captions(model: ImageToText, n: int) -> float:
    """Share of greedy captions of new scenes, every family in turn, of which each word is true."""
    scenes = []
    for i in range(n):
        rng = np.random.default_rng([*SEED, i])
        description, _ = draw_text(list(FAMILIES)[i % len(FAMILIES)], rng, "val")
        scenes.append(draw(description, rng))
    said: list[str] = []
    for i in range(0, n, BATCH):
        part = scenes[i : i + BATCH]
        said += model.answer(
            [[picture(scene)] for scene in part],
            [CAPTION_REQUEST] * len(part),
            seeds=range(len(part)),
            sampling=TextSampling(max_new_tokens=64),
        )
    return float(np.mean([faithful(text, scene) for text, scene in zip(said, scenes, strict=True)]))


def share_of(samples: Sequence[Sample], most: int | None) -> list[Sample]:
    """MMBench's questions once each instead of once a rotation; of `most` clusters drawn at random, as every third question may
    well be of the same kind."""
    once = [sample for sample in samples if sample.truth.get("pass", 0) == 0]
    clusters = list(dict.fromkeys(sample.cluster for sample in once))
    kept = {clusters[i] for i in np.random.default_rng(SEED).permutation(len(clusters))[:most]}
    return [sample for sample in once if sample.cluster in kept]


def _metrics(benchmark: Any, rows: Rows, asked: Asked) -> dict[str, float]:
    statistics, weights = benchmark.statistics(rows), np.ones(len(rows))
    name = benchmark.name.replace("-compbench", "")
    return {f"{name}_{metric.split('/')[-1]}": float(statistics[metric].of(weights)) for metric in asked.metrics}


def _rightness(verdict: Verdict) -> float:
    """1 or 0 where the benchmark says right or wrong, else its score."""
    return float(next(iter(verdict.scores.values())) if verdict.correct is None else verdict.correct)


def _drawn(sample: Sample, repeat: int, made: Image.Image) -> Answered:
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    return Answered(sample, Response("", sample.id, repeat, 0, "", image=""), buffer.getvalue())


def _auc(correct: np.ndarray, scores: np.ndarray) -> float:
    """Share of (right, wrong) pairs of one prompt in which the right picture has the higher reward."""
    wins, pairs = 0.0, 0
    for right, score in zip(correct, scores, strict=True):
        won = score[right == 1][:, None] - score[right == 0]
        wins += float((won > 0).sum() + 0.5 * (won == 0).sum())
        pairs += won.size
    return wins / pairs if pairs else float("nan")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m suder_bench.world.pretrain.measure", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--quick", action="store_true", help="a part of the prompts, pictures and questions: about two minutes")
    parser.add_argument("--only", nargs="+", choices=ALL, default=ALL, metavar="NAME", help=f"of {', '.join(ALL)}")
    arguments = parser.parse_args(argv)
    print(json.dumps(measure(arguments.model, arguments.only, quick=arguments.quick), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
