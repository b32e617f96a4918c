"""How many samples of each benchmark are asked at most."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Limits:
    """`each` benchmark's, and in its place those of the benchmarks `named`; None is all samples."""

    each: int | None = None
    named: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, recipe: Mapping[str, Any]) -> Limits:
        """What run.json tells of them."""
        return cls(recipe.get("limit"), recipe.get("limits") or {})

    def recorded(self) -> dict[str, Any]:
        """What run.json is to tell of them."""
        return {"limit": self.each, **({"limits": dict(self.named)} if self.named else {})}

    def of(self, benchmark: str) -> int | None:
        return self.named.get(benchmark, self.each)

    def among(self, benchmarks: Collection[str]) -> Limits:
        """Those that concern these benchmarks."""
        return Limits(self.each, {name: number for name, number in self.named.items() if name in benchmarks})

    def __bool__(self) -> bool:
        return self.each is not None or bool(self.named)

    def __str__(self) -> str:
        """As `--limit` takes it."""
        named = [f"{name}={number}" for name, number in self.named.items()]
        return ",".join(named if self.each is None else [str(self.each), *named])
