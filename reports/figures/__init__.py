"""Figures 3-10."""

from suder_bench.reports.figures.paper import build

__all__ = ["build"]
