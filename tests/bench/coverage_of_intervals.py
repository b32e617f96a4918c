"""How often 95 % intervals hold the truth: six ways to make them, on benchmarks that are simulated.

    python tests/bench/coverage_of_intervals.py [--benchmarks 4000] [--resamples 1000] [--seed 0]

A benchmark has prompts (or groups of questions) with rates of success of their own, and answers that are right so often; its
metric is the mean of all. Every way sees the same benchmarks, each in the same resamples, as suder_bench does it. Printed are two
tables of Markdown: the share of intervals that hold the true mean, with those that lie wholly above and wholly below it, in
percent; and the mean width. Then come trainings: the gain of three seeds over a base that was run once, whose interval should
hold what the training gains whatever its seed. About half a minute on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from suder_bench import intervals, seeds
from suder_bench.records import Statistic
from suder_bench.stats import resample_weights

CHUNK = 250


@dataclass(frozen=True)
class World:
    """`clusters` with rates of Beta(a, b), and `rows` answers of each."""

    name: str
    clusters: int
    rows: int
    a: float
    b: float

    @property
    def truth(self) -> float:
        return self.a / (self.a + self.b)

    def draw(self, rng: np.random.Generator, benchmarks: int) -> np.ndarray:
        """The mean of each cluster, (clusters, benchmarks)."""
        return rng.binomial(self.rows, rng.beta(self.a, self.b, (self.clusters, benchmarks))) / self.rows


WORLDS = (
    World("50 prompts x 4 pictures, mean 0.4", 50, 4, 0.8, 1.2),
    World("50 prompts x 4 pictures, mean 0.05", 50, 4, 0.1, 1.9),
    World("100 prompts x 4 pictures, mean 0.05", 100, 4, 0.1, 1.9),
    World("2 prompts x 4 pictures, mean 0.5", 2, 4, 1.0, 1.0),
    World("5 prompts x 4 pictures, mean 0.5", 5, 4, 1.0, 1.0),
    World("12 question groups x 4, mean 0.5", 12, 4, 1.0, 1.0),
    World("12 question groups x 4, mean 0.2", 12, 4, 0.5, 2.0),
    World("10 prompts x 4 pictures, mean 0.5", 10, 4, 1.0, 1.0),
    World("20 prompts x 4 pictures, mean 0.3", 20, 4, 0.6, 1.4),
    World("300 prompts x 4 pictures, mean 0.3", 300, 4, 0.6, 1.4),
    World("60 questions x 1, mean 0.9", 60, 1, 9.0, 1.0),
    World("300 questions x 1, mean 0.02", 300, 1, 0.2, 9.8),
)


def ways(means: np.ndarray, weights: np.ndarray) -> dict[str, intervals.Ends]:
    """The ends by each way, of means (clusters, benchmarks) and resamples (resamples, clusters)."""
    clusters = len(means)
    value, drawn = means.mean(axis=0), weights @ means / clusters
    bend = intervals.acceleration(means)
    error = means.std(axis=0, ddof=1) / np.sqrt(clusters)
    spread = np.maximum(weights @ means**2 / clusters - drawn**2, 0)
    errors = np.sqrt(spread / (clusters - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        studentized = np.where(errors > 1e-12, (drawn - value) / errors, np.where(drawn > value, np.inf, -np.inf))
    studentized[:, error == 0] = 0
    ordered = np.sort(studentized, axis=0)
    with np.errstate(invalid="ignore"):
        t_low, t_high = (
            np.quantile(ordered, level, axis=0, method="nearest") for level in (1 - intervals.LEVEL, intervals.LEVEL)
        )
    reach = float(stdtrit(clusters - 1, intervals.LEVEL))
    far = reach * intervals.expansion(clusters)
    median = np.median(drawn, axis=0)  # which leaves no bias to correct
    return {
        "percentile": intervals.percentile(drawn),
        "expanded percentile": intervals.bca(drawn, median, np.zeros_like(bend), far),
        "BCa": intervals.bca(drawn, value, bend),
        "expanded BCa": intervals.expanded_bca(drawn, value, bend, clusters),
        "bootstrap-t": (np.maximum(value - t_high * error, 0), np.minimum(value - t_low * error, 1)),
        "Student's t": (np.maximum(value - reach * error, 0), np.minimum(value + reach * error, 1)),
    }


def simulated(world: World, *, benchmarks: int, resamples: int, seed: int) -> Iterator[tuple[str, float, float, float, float]]:
    """(way, share that holds the truth, share wholly above it, share wholly below it, mean width)."""
    rng = np.random.default_rng(seed)
    names = [f"{i:04d}" for i in range(world.clusters)]
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, benchmarks, CHUNK):
        means = world.draw(rng, min(CHUNK, benchmarks - start))
        weights = np.concatenate(list(resample_weights(names, seed=seed + start, resamples=resamples)))
        for way, (low, high) in ways(means, weights).items():
            found.setdefault(way, []).append(np.stack([low > world.truth, high < world.truth, high - low]))
    for way, parts in found.items():
        above, below, width = np.concatenate(parts, axis=1).mean(axis=1)
        yield way, 1 - above - below, above, below, width


@dataclass(frozen=True)
class Training:
    """Standard deviations of normal parts of a gain: of a prompt, of a seed, and of one of four pictures of a prompt and seed."""

    name: str
    prompt: float
    seed: float
    picture: float

    PROMPTS, SEEDS, PICTURES, GAIN = 50, 3, 4, 0.1

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """The mean of each prompt, of the base and of each seed: (1 + seeds, prompts)."""
        pictures = self.picture * rng.normal(size=(1 + self.SEEDS, self.PROMPTS)) / np.sqrt(self.PICTURES)
        moved = self.GAIN + self.seed * rng.normal(size=(self.SEEDS, 1)) + self.prompt * rng.normal(size=self.PROMPTS)
        return pictures + np.concatenate([np.zeros((1, self.PROMPTS)), moved]) + rng.normal(size=self.PROMPTS)


TRAININGS = (
    Training("seeds are alike", 0.2, 0.0, 0.4),
    Training("seeds differ as in GenEval-world: 0.5 points, prompts 2.3", 0.14, 0.005, 0.16),
    Training("seeds and prompts matter alike", 0.2, 0.05, 0.2),
    Training("seeds matter most", 0.05, 0.1, 0.1),
)


def of_seeds(training: Training, *, trainings: int, resamples: int, seed: int) -> Iterator[tuple[str, float, float]]:
    """(way, share that holds the gain, mean width): prompts resampled alone, prompts and seeds resampled, and ours."""
    rng, k, s = np.random.default_rng(seed), training.PROMPTS, training.SEEDS
    names = [f"{i:03d}" for i in range(k)]
    weights = np.concatenate(list(resample_weights(names, resamples=resamples)))
    chosen = rng.multinomial(s, np.full(s, 1 / s), resamples)
    found: dict[str, list[tuple[bool, float]]] = {}
    for _ in range(trainings):
        base, *runs = means = training.draw(rng)
        gains = means[1:] - base
        alone = intervals.expanded_bca(
            weights @ gains.mean(axis=0) / k, gains.mean(), intervals.acceleration(gains.mean(axis=0)), k
        )
        both = intervals.percentile(np.einsum("rs,sr->r", chosen / s, gains @ weights.T / k))
        ours = seeds.difference([_run(base, names)], [_run(one, names) for one in runs], resamples=resamples)
        ends = {
            "prompts alone": alone,
            "prompts and seeds resampled": both,
            "prompts resampled, seeds by t": (ours.low, ours.high),
        }
        for way, (low, high) in ends.items():
            found.setdefault(way, []).append((low <= training.GAIN <= high, high - low))
    for way, each in found.items():
        held, width = np.mean(each, axis=0)
        yield way, float(held), float(width)


def _run(means: np.ndarray, names: list[str]) -> seeds.Rows:
    return Statistic.of_sums([means, np.ones(len(means))], lambda sums: sums[0] / sums[1], n=len(means)), names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmarks", type=int, default=4000, help="simulated ones of each kind")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rows = [list(simulated(world, benchmarks=asked.benchmarks, resamples=asked.resamples, seed=asked.seed)) for world in WORLDS]
    for what in ("holds the truth, % (above it, below it)", "mean width"):
        print(f"| {what} | " + " | ".join(way for way, *_ in rows[0]) + " |")
        print("|---" + "|---:" * len(rows[0]) + "|")
        for world, row in zip(WORLDS, rows, strict=True):
            cells = [
                f"{width:.3f}" if what == "mean width" else f"{100 * held:.1f} ({100 * above:.1f}, {100 * below:.1f})"
                for _, held, above, below, width in row
            ]
            print(f"| {world.name} | " + " | ".join(cells) + " |")
        print()
    each = [list(of_seeds(one, trainings=asked.benchmarks // 8, resamples=asked.resamples, seed=asked.seed)) for one in TRAININGS]
    print("| gain of three seeds: holds the truth, % (mean width) | " + " | ".join(way for way, *_ in each[0]) + " |")
    print("|---" + "|---:" * len(each[0]) + "|")
    for training, row in zip(TRAININGS, each, strict=True):
        print(f"| {training.name} | " + " | ".join(f"{100 * held:.1f} ({width:.3f})" for _, held, width in row) + " |")


if __name__ == "__main__":
    main()
