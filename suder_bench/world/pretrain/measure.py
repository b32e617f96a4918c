"""What a checkpoint of the world can do: python -m suder_bench.world.pretrain.measure CHECKPOINT (a shipped name or a folder).

Prints one JSON document: accuracy of drawing by GenEval's rules, whether the model's own reward picks the right pictures
(mean, best, worst and oracle of 8 samples a prompt), and how well it reads (captions, POPE).
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from suder_bench import registry
from suder_bench.benchmark import UnderstandingBenchmark
from suder_bench.data.prompts import CAPTION_REQUEST
from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.models.reference import choose
from suder_bench.records import Answered, Response, Sample, Verdict
from suder_bench.rewards.dsr import Dsr
from suder_bench.world import tasks
from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.reading import faithful
from suder_bench.world.render import picture
from suder_bench.world.scenes import draw

SEED = (2506, 7963, 5)
GROUP = 8
BATCH = 32


def drawing(model: JanusModel, folder: Path, sampling: ImageSampling) -> dict[str, float]:
    """GenEval's overall on its quick world prompts, and what the reward R_G knows of right and wrong within a prompt."""
    benchmark = registry.load("benchmarks", "geneval")(folder)
    judges = {role: registry.load("judges", f"{role}/world").load() for role in benchmark.judge_roles}
    samples: Sequence[Sample] = benchmark.samples()
    reward = Dsr(model)
    rows: list[tuple[Sample, Verdict]] = []
    right, rewards = [], []
    for i in range(0, len(samples), BATCH // GROUP):
        asked = [sample for sample in samples[i : i + BATCH // GROUP] for _ in range(GROUP)]
        prompts = [sample.prompt for sample in asked]
        seeds = range(i * GROUP, i * GROUP + len(asked))
        pictures = [made.picture for made in model.generate(prompts, seeds=seeds, sampling=sampling)]
        rewards += reward.score_images(prompts, pictures)
        answered = [_drawn(sample, j % GROUP, one) for j, (sample, one) in enumerate(zip(asked, pictures, strict=True))]
        judged = list(benchmark.verdicts(answered, judges))
        rows += zip(asked, judged, strict=True)
        right += [bool(verdict.correct) for verdict in judged]
    correct = np.array(right, float).reshape(-1, GROUP)
    scores = np.array(rewards).reshape(-1, GROUP)
    statistics = benchmark.statistics(rows)
    weights = np.ones(len(rows))
    return {
        "geneval_overall": float(statistics["overall"].of(weights)),
        **{f"geneval_{tag}": float(statistics[tag].of(weights)) for tag in benchmark.paper_metrics if tag != "overall"},
        "mean_of_8": float(correct.mean()),
        "best_of_8": float(np.take_along_axis(correct, scores.argmax(1)[:, None], 1).mean()),
        "worst_of_8": float(np.take_along_axis(correct, scores.argmin(1)[:, None], 1).mean()),
        "oracle_of_8": float(correct.max(1).mean()),
        "reward_right": float(scores[correct == 1].mean()),
        "reward_wrong": float(scores[correct == 0].mean()),
        "auc_within_prompt": _auc(correct, scores),
    }


def captions(model: JanusModel, n: int) -> float:
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


def pope(model: JanusModel, folder: Path) -> float:
    """Accuracy over POPE's three tracks."""
    benchmark: UnderstandingBenchmark = registry.load("benchmarks", "pope")(folder)
    samples = benchmark.samples()
    right = []
    for i in range(0, len(samples), BATCH):
        part = samples[i : i + BATCH]
        images = [[Image.open(source).convert("RGB") for source in one.images if isinstance(source, Path)] for one in part]
        said = model.answer(
            images, [one.prompt for one in part], seeds=range(len(part)), sampling=TextSampling(max_new_tokens=16)
        )
        answered = [Answered(one, Response("pope", one.id, 0, 0, "", text=text)) for one, text in zip(part, said, strict=True)]
        right += [bool(verdict.correct) for verdict in benchmark.verdicts(answered, {})]
    return float(np.mean(right))


def measure(reference: str, *, scenes: int = 420) -> Mapping[str, float]:
    """All figures of one checkpoint."""
    chosen = choose(reference)
    model = JanusModel.load(chosen.reference)
    sampling = ImageSampling(guidance=chosen.guidance)
    with tempfile.TemporaryDirectory() as folder:
        tasks.write(Path(folder), size="quick", benchmarks=["geneval", "pope"])
        figures = drawing(model, Path(folder), sampling)
        figures |= {"caption_faithfulness": captions(model, scenes), "pope_accuracy": pope(model, Path(folder))}
    return {name: round(value, 4) for name, value in figures.items()}


def _drawn(sample: Sample, repeat: int, made: Image.Image) -> Answered:
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    return Answered(sample, Response("geneval", sample.id, repeat, 0, "", image=""), buffer.getvalue())


def _auc(correct: np.ndarray, scores: np.ndarray) -> float:
    """Share of (right, wrong) pairs of one prompt in which the right picture has the higher reward."""
    wins, pairs = 0.0, 0
    for right, score in zip(correct, scores, strict=True):
        won = score[right == 1][:, None] - score[right == 0]
        wins += float((won > 0).sum() + 0.5 * (won == 0).sum())
        pairs += won.size
    return wins / pairs if pairs else float("nan")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    print(json.dumps(measure(parser.parse_args().checkpoint), indent=1))
