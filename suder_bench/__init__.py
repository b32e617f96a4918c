"""An evaluation suite for unified text-and-image models, and dual self-reward training."""

from pathlib import Path

from suder_bench import imports

CLONE = imports.arrange(Path(__file__).absolute().parent)
"""The root of the clone that this package is imported from; None where it is installed."""
