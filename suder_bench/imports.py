"""What must be arranged before anything else is imported: a clone's sub-packages, and a torchvision that does not work.

In a clone, `suder_bench.evaluators`, `.training` and `.reports` lie beside the folder `suder_bench/`, and pip puts them into it.
Python started in the clone's root finds that folder first, whatever is installed, and must find it whole.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

BESIDE = ("evaluators", "training", "reports")
APART = 15
"""torchvision 0.28 was built with torch 2.13, and so on."""

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


class BeforeTransformers(MetaPathFinder):
    """Tries torchvision when transformers is asked for, which takes one that is installed for one that works.

    The trial imports torch, which takes seconds; one that says to be torch's own build is left to whoever needs it.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname == "transformers" and not _same_build():
            torchvision_trouble()
        return None


@cache
def torchvision_trouble() -> str | None:
    """Why an installed torchvision cannot be imported, in a line; None where it can, and where there is none.

    A build for another torch fails so ("operator torchvision::nms does not exist"). It then counts as not installed: nothing
    here needs it but open-clip-torch.
    """
    if "torchvision" in sys.modules or find_spec("torchvision") is None:
        return None
    try:
        import_module("torchvision")
    except Exception as error:  # RuntimeError, OSError, AttributeError: whatever a library of another build meets
        for name in [name for name in sys.modules if name.startswith("torchvision.")]:
            del sys.modules[name]
        sys.modules["torchvision"] = None  # type: ignore[assignment]  # to `import` and `find_spec` it is not there
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _same_build() -> bool:
    """Whether torchvision was built for the torch that is here, for its release and device, by the files of both."""
    torch, torchvision = _version("torch"), _version("torchvision")
    if torch is None or torchvision is None:
        return False
    return torchvision.groups() == ("0", str(int(torch[2]) + APART), torch[3])


def _version(package: str) -> re.Match[str] | None:
    """Major, minor and build ("cpu", "cu130") in a package's version.py."""
    spec = find_spec(package)
    file = None if spec is None or spec.origin is None else Path(spec.origin).with_name("version.py")
    text = file.read_text(encoding="utf-8", errors="replace") if file is not None and file.is_file() else ""
    return re.search(r"^__version__ = ['\"](\d+)\.(\d+)\.[^+'\"]*\+(\w+)['\"]", text, re.MULTILINE)


def torchvision_cure() -> str:
    """The command that brings the torchvision of the torch that is here. The index that everybody uses has one build of each,
    which is not the processor's."""
    import torch

    release, _, build = torch.__version__.partition("+")
    index = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    return f"pip install --force-reinstall --no-deps 'torchvision==0.{int(release.split('.')[1]) + APART}.*'{index}"


def arrange(package: Path) -> Path | None:
    """Put the finders of this module to work, for the package in that folder; returns the clone's root, if it is one."""
    root = clone_of(package)
    if root is not None:
        sys.meta_path.append(InClone(root))
    sys.meta_path.insert(0, BeforeTransformers())
    return root
