"""T2I-ReasonBench."""

from suder_bench.evaluators.t2i_reasonbench.benchmark import DIMENSIONS, T2IReasonBench

__all__ = ["DIMENSIONS", "T2IReasonBench"]
