"""Which benchmarks a suite holds, in the order of its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from suder_bench import registry
from suder_bench.errors import UserError, unknown

GENERATION = ("geneval", "t2i-compbench")
UNDERSTANDING = ("pope", "hallusionbench", "llavabench", "mmbench", "seedbench")

PAPER = GENERATION + UNDERSTANDING
"""What SUDER's tables report; it stays this when benchmarks are added to `all`."""

REASONING = ("t2i-reasonbench", "wise-verified")
NEWER = (*GENERATION[:1], "geneval2", *GENERATION[1:])
"""Composition by a newer benchmark too, whose licence is not for commercial use: nothing of it is in `all`."""

SUITES: Mapping[str, tuple[str, ...]] = {
    "gen": GENERATION,
    "und": UNDERSTANDING,
    "all": GENERATION + UNDERSTANDING,
    "paper": PAPER,
    "reason": REASONING,
    "gen2": NEWER,
}


WHOLE = ("all", "paper")
"""Suites that hold all that a model can do, be it one half of them."""


def half(suite: str | None, only: Sequence[str], able: str | None) -> str | None:
    """`able`, the suite of what a model can do, in place of a whole suite that holds more; nothing where benchmarks were named,
    which a model that cannot do them refuses."""
    return able if able is not None and suite in WHOLE and not only else suite


def choose(suite: str | None, only: Sequence[str] = (), data: str | None = None) -> tuple[str, tuple[str, ...]]:
    """(name, benchmarks) of a suite, restricted to the benchmarks in `only`; without a suite, just those of `only`.

    A part of a suite is named after its benchmarks, so that it never passes for the whole. A family's suite ("lmms:pope,mme") may
    look into `data`, the value of `--data`. Raises `UserError` for an unknown name, for a benchmark outside the suite, and when
    neither is given.
    """
    known = registry.table("benchmarks")
    for name in only:
        if name not in known and registry.family(name) is None:
            raise unknown("benchmark", name, known)
    family = registry.family(suite or "")
    if suite is not None and suite not in SUITES and family is None:
        raise unknown("suite", suite, [*SUITES, *(f"{prefix}:TASK" for prefix in registry.FAMILIES)])
    if suite is None and not only:
        raise UserError(f"nothing to run; give --suite ({', '.join(SUITES)}) or --benchmark ({', '.join(sorted(known))})")
    inside: tuple[str, ...] = tuple(dict.fromkeys(only))
    if suite is not None:
        inside = SUITES[suite] if family is None else family.members(suite, data)
    outside = [name for name in only if name not in inside]
    if outside:
        raise UserError(f"benchmark '{outside[0]}' is not in suite '{suite}' ({', '.join(inside)}); leave --suite out")
    chosen = tuple(name for name in inside if not only or name in only)
    return (suite if suite is not None and chosen == inside else "+".join(chosen)), chosen
