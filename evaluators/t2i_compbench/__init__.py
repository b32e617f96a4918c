"""T2I-CompBench and T2I-CompBench++."""

from suder_bench.evaluators.t2i_compbench.benchmark import CATEGORIES, T2ICompBench, training_prompts

__all__ = ["CATEGORIES", "T2ICompBench", "training_prompts"]
