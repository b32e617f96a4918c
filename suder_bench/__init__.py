"""An evaluation suite for unified text-and-image models, and dual self-reward training.

The names in `__all__` are the promised Python interface (docs/api.md); they are imported when they are asked for.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench import imports

if TYPE_CHECKING:
    from suder_bench.api import Comparison, LoadedRun, compare, load_run, run
    from suder_bench.errors import UserError

CLONE = imports.arrange(Path(__file__).absolute().parent)
"""The root of the clone that this package is imported from; None where it is installed."""

__all__ = ["Comparison", "LoadedRun", "UserError", "compare", "load_run", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module("suder_bench.errors" if name == "UserError" else "suder_bench.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
