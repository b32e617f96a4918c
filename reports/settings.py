"""In what two trainings of one kind differ besides their seed, and how long each took."""

from __future__ import annotations

from pathlib import Path

from suder_bench.reports import door
from suder_bench.reports.site.curves import logged
from suder_bench.training.settled import flat

SEEDS = ("trainer.seed", "trainer.data_seed")
"""What makes a training another one of the same recipe."""


def apart(training: Path, other: Path) -> str:
    """'trainer.learning_rate 2e-05, trainer.max_steps 64': the settings of the first that are not the other's, without seeds;
    '' where there are none. A setting that only the other has is 'none'."""
    mine, its = (flat(door.recipe(one)) for one in (training, other))
    names = sorted(name for name in mine.keys() | its.keys() if name not in SEEDS and mine.get(name) != its.get(name))
    return ", ".join(f"{name} {mine.get(name, 'none')}" for name in names)


def seconds(training: Path) -> float | None:
    """What its steps took together, of both models in turns; None where that was not logged."""
    found = [values for name, values in logged(training).items() if name.startswith("seconds/step")]
    return sum(value for values in found for _, value in values) if found else None
