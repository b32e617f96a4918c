"""What must be arranged before anything else is imported: a clone's sub-packages.

In a clone, `suder_bench.evaluators`, `.training` and `.reports` lie beside the folder `suder_bench/`, and pip puts them into it.
Python started in the clone's root finds that folder first, whatever is installed, and must find it whole.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

BESIDE = ("evaluators", "training", "reports")
PROJECT = 'name = "suder-bench"'


def clone_of(package: Path) -> Path | None:
    """The root of the clone that holds the folder `package`; None where it is installed."""
    root = package.parent
    beside = all((root / name / "__init__.py").is_file() and not (package / name).exists() for name in BESIDE)
    project = root / "pyproject.toml"
    whole = beside and project.is_file() and PROJECT in project.read_text(encoding="utf-8").splitlines()
    return root if whole else None


class InClone(MetaPathFinder):
    """Finds the three sub-packages in the root of a clone, and nothing else that lies there, such as its tests."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        parent, _, name = fullname.rpartition(".")
        if parent != "suder_bench" or name not in BESIDE:
            return None
        folder = self.root / name
        return spec_from_file_location(fullname, folder / "__init__.py", submodule_search_locations=[str(folder)])


def arrange(package: Path) -> Path | None:
    """Put the finder of this module to work, for the package in that folder; returns the clone's root, if it is one."""
    root = clone_of(package)
    if root is not None:
        sys.meta_path.append(InClone(root))
    return root
