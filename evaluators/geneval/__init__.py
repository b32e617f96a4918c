"""GenEval."""

from suder_bench.evaluators.geneval.benchmark import TAGS, GenEval

__all__ = ["TAGS", "GenEval"]
