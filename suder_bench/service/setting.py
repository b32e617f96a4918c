"""What is judged and by whom, as the command line says it and the workers are told it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from suder_bench.data.source import Source
from suder_bench.terms import USUAL, Terms


@dataclass(frozen=True)
class Setting:
    """The same on every worker but for `device`."""

    benchmarks: tuple[str, ...]
    source: Source
    protocol: str = "official"
    judges: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    known_answers: bool = True
    terms: Terms = USUAL

    def document(self) -> dict[str, Any]:
        """As JSON, which `read` reads back."""
        source, terms = self.source, self.terms
        return {
            **{name: getattr(self, name) for name in ("protocol", "device", "dtype", "offline", "known_answers")},
            "benchmarks": list(self.benchmarks),
            "judges": dict(self.judges),
            "source": [source.kind, source.size, None if source.path is None else str(source.path)],
            "terms": [
                sorted(terms.named),
                {role: dict(given) for role, given in terms.arguments.items()},
                terms.timeout,
                terms.at_once,
            ],
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        kind, size, path = document["source"]
        named, arguments, timeout, at_once = document["terms"]
        return cls(
            **{name: document[name] for name in ("protocol", "judges", "device", "dtype", "offline", "known_answers")},
            benchmarks=tuple(document["benchmarks"]),
            source=Source(kind, size, None if path is None else Path(path)),
            terms=Terms(frozenset(named), arguments, timeout, at_once),
        )
