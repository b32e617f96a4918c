"""The code that a benchmark's verdicts come from: its own modules, and what they share with other benchmarks."""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from suder_bench.benchmark import Benchmark

SHARED = "suder_bench.evaluators"
JUDGES = f"{SHARED}.judges"
"""These have fingerprints of their own."""


def digest(benchmark: Benchmark) -> str:
    """Changes with the benchmark's module, those beside it, and every module of `SHARED` that any of these imports, or that an
    imported one does: an edited rule must not meet verdicts of the old one."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in modules(benchmark))).hexdigest()


def modules(benchmark: Benchmark) -> list[Path]:
    """The files, in order."""
    own = inspect.getsourcefile(type(benchmark))
    waiting = list(Path(own).parent.glob("*.py")) if own is not None else []
    found: set[Path] = set()
    known: set[str] = set()
    shared = find_spec(SHARED)
    assert shared is not None
    assert shared.submodule_search_locations is not None
    roots = list(shared.submodule_search_locations)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            names = _imported(file.read_bytes()) - known
            known |= names
            waiting += [there for name in names if (there := _file(name, roots))]
    return sorted(found)


@lru_cache(1024)
def _imported(content: bytes) -> frozenset[str]:
    """The names in a module's imports, of which some may be functions in a module."""
    return frozenset(name for node in ast.walk(ast.parse(content)) for name in _names(node))


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(name: str, roots: list[str]) -> Path | None:
    """The file of a shared module, in a folder of `roots`; None for any other name, and for a function's."""
    if not name.startswith(f"{SHARED}.") or f"{name}.".startswith(f"{JUDGES}."):
        return None
    places = [Path(root, *name.removeprefix(f"{SHARED}.").split(".")) for root in roots]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return next((file for file in files if file.is_file()), None)
