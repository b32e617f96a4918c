"""The checkpoints shipped with the package."""

from __future__ import annotations

from pathlib import Path

from suder_bench.errors import unknown

_FOLDER = Path(__file__).parent / "weights"


def names() -> list[str]:
    if not _FOLDER.is_dir():  # a source tree without the weights
        return []
    return sorted(folder.name for folder in _FOLDER.iterdir() if (folder / "config.json").is_file())


def path(name: str) -> Path:
    """The folder of a shipped checkpoint. Raises `UserError` for an unknown name."""
    if name not in names():
        raise unknown("shipped checkpoint", name, names())
    return _FOLDER / name
