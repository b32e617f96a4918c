"""Which rows a table or figure is about: models of a family, or trainings of one start model that differ in what is compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from suder_bench.reports.measured import Measured

FAMILIES: Mapping[str, re.Pattern[str]] = {"Show-o": re.compile(r"(?:^|[/:\\])show-?o(?![a-z0-9])", re.IGNORECASE)}
"""How a family's models are named: by the adapter that loads them, a hub id, or the folder of responses made elsewhere."""


@dataclass(frozen=True)
class Admission:
    """What is admitted; an empty field asks for nothing. `families` are keys of `FAMILIES`; the others tell trainings."""

    families: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    rewards: tuple[str, ...] = ()

    def model(self, row: Measured) -> bool:
        """Whether the row's model, or the one that it was trained from, is of the families."""
        return not self.families or any(FAMILIES[family].search(name) for family in self.families for name in names_of(row))

    def training(self, row: Measured) -> bool:
        """Whether the row is such a training, of such a model."""
        made = row.training
        if made is None or not self.model(row):
            return False
        asked = ((made.strategy, self.strategies), (made.algorithm, self.algorithms), (made.reward, self.rewards))
        return all(not admitted or its in admitted for its, admitted in asked)


ANY = Admission()


def names_of(row: Measured) -> list[str]:
    """What the row's model and the model it was trained from are called, each with the adapter that loaded it."""
    recipes = [scores.summary["recipe"]["model"] for scores in row.scores.values()]
    loaded = [f"{recipe['adapter']}:{row.model}" for recipe in recipes if recipe.get("adapter")]
    return [row.model, *dict.fromkeys(loaded), *([row.training.start] if row.training else [])]


def start_of(row: Measured) -> str:
    """The model that the row was trained from, or the row's own."""
    return row.training.start if row.training else row.began or row.model
