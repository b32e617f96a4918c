"""Janus and Janus-Pro."""

from suder_bench.models.janus.model import JanusModel

__all__ = ["JanusModel"]
