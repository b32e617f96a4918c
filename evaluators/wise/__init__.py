"""WISE, as verified in 2026 and as first published."""

from suder_bench.evaluators.wise.benchmark import CATEGORIES, WiseLegacy, WiseVerified

__all__ = ["CATEGORIES", "WiseLegacy", "WiseVerified"]
