"""The simulation that the intervals were chosen by: its ways are those of numpy, scipy and suder_bench, its shares exact ones."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import binom, bootstrap, ttest_1samp
from test_stats import mean

from suder_bench.stats import metric, resample_weights

SCRIPT = Path(__file__).parent / "bench" / "coverage_of_intervals.py"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resamples(clusters: int, count: int) -> np.ndarray:
    return np.concatenate(list(resample_weights([f"prompt {i:03d}" for i in range(clusters)], resamples=count)))


def test_each_way_is_what_others_make(simulation: ModuleType) -> None:
    values = np.random.default_rng(0).beta(2, 5, 30)
    found = simulation.ways(values[:, None], resamples(30, 5000))
    ends = {way: (float(low[0]), float(high[0])) for way, (low, high) in found.items()}
    for method, way in (("percentile", "percentile"), ("BCa", "BCa")):
        expected = bootstrap((values,), np.mean, n_resamples=5000, method=method, random_state=1).confidence_interval
        assert ends[way] == pytest.approx(tuple(expected), rel=0.03)
    assert ends["Student's t"] == pytest.approx(tuple(ttest_1samp(values, 0).confidence_interval()))


def test_what_was_chosen_is_what_numbers_get(simulation: ModuleType) -> None:
    values = np.random.default_rng(1).beta(2, 5, 25)
    low, high = simulation.ways(values[:, None], resamples(25, 1000))["expanded BCa"]
    names = [f"prompt {i:03d}" for i in range(25)]
    found = metric(mean(values), names)
    assert (found.low, found.high) == pytest.approx((float(low[0]), float(high[0])))


def test_simulated_shares_are_the_binomial_ones(simulation: ModuleType) -> None:
    """Of one question a prompt all that matters is how many are right, and how probable that is is known."""
    clusters, truth = 40, 0.2
    rights = np.arange(clusters + 1)
    answers = np.stack([np.random.default_rng(right).permutation(np.arange(clusters) < right) for right in rights], axis=1)
    chance = binom.pmf(rights, clusters, truth)
    world = simulation.World("questions", clusters, 1, 1.0, 4.0)
    simulated = {way: held for way, held, *_ in simulation.simulated(world, benchmarks=4000, resamples=1000, seed=2)}
    for way, (low, high) in simulation.ways(answers.astype(float), resamples(clusters, 1000)).items():
        exact = chance[(low <= truth) & (high >= truth)].sum()
        assert simulated[way] == pytest.approx(exact, abs=0.04), way


@pytest.mark.parametrize("name", ["50 prompts x 4 pictures, mean 0.05", "12 question groups x 4, mean 0.2"])
def test_the_page_says_what_comes_out(simulation: ModuleType, name: str) -> None:
    page = (Path(__file__).parents[1] / "docs" / "statistics.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if line.startswith(f"| {name} | ") and "(" in line]
    [world] = [one for one in simulation.WORLDS if one.name == name]
    told = [float(cell.split()[0]) for cell in line.strip("|").split("|")[1:]]
    found = [100 * held for _, held, *_ in simulation.simulated(world, benchmarks=2000, resamples=500, seed=3)]
    assert found == pytest.approx(told, abs=2)


def test_three_seeds_hold_the_gain_where_seeds_matter_and_prompts_alone_do_not(simulation: ModuleType) -> None:
    shares = {way: held for way, held, _ in simulation.of_seeds(simulation.TRAININGS[2], trainings=150, resamples=300, seed=4)}
    assert shares["prompts resampled, seeds by t"] >= 0.93
    assert shares["prompts alone"] < 0.92


def test_fewer_misses_on_either_side_than_percentiles(simulation: ModuleType) -> None:
    rows = list(simulation.simulated(simulation.WORLDS[1], benchmarks=1000, resamples=500, seed=5))
    below = {way: below for way, _, _, below, _ in rows}
    assert below["expanded BCa"] < below["percentile"]
    assert {way for way, *_ in rows} >= {"percentile", "BCa", "bootstrap-t"}
