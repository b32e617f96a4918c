"""GenEval 2."""

from suder_bench.evaluators.geneval2.benchmark import SKILLS, GenEval2

__all__ = ["SKILLS", "GenEval2"]
