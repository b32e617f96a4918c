"""The command line; `main` runs one command."""

from suder_bench.cli.dispatch import main

__all__ = ["main"]
