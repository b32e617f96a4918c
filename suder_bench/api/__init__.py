"""The promised Python interface; `suder_bench` itself gives these names, and imports this package when one is asked for."""

from suder_bench.api.calls import compare, load_run, run
from suder_bench.api.results import Comparison, LoadedRun

__all__ = ["Comparison", "LoadedRun", "compare", "load_run", "run"]
