"""Comparisons of rewards."""

from suder_bench.reports.rewards.comparison import CASES, figure, markdown, table

__all__ = ["CASES", "figure", "markdown", "table"]
