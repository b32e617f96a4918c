"""Code of a checkpoint's own: what its files ask for (`auto_map`), and when it is run. No torch.

transformers imports such a file and builds its class, which can do anything on this machine. So it is run with
`--trust-remote-code` only, and only from the checkpoint's own folder, so that the fingerprint covers it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.models import checkpoint

FILES = (checkpoint.CONFIG, "processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
MODELS = ("AutoModelForImageTextToText", "AutoModelForVision2Seq", "AutoModelForCausalLM", "AutoModel")
"""What a model's class is asked for as, the closest first."""

CLASS_NAMES = {
    "AutoTokenizer": "tokenizer_class",
    "AutoProcessor": "processor_class",
    "AutoImageProcessor": "image_processor_type",
}
"""Beside auto_map, where a file names the class without saying whose it is."""


@dataclass(frozen=True)
class Asked:
    """`file` asks for `reference` (MODULE.CLASS, of another repository REPO--MODULE.CLASS) as its `kind`."""

    file: Path
    kind: str
    reference: str

    @property
    def source(self) -> str:
        """The file of the code."""
        return f"{self.reference.rpartition('--')[2].rpartition('.')[0]}.py"

    def __str__(self) -> str:
        return f"{self.file.name}: {self.kind} {self.reference}"


def asked(folder: Path) -> list[Asked]:
    """All that the files of a checkpoint ask for. Raises `UserError` for a file that is no JSON."""
    return [one for name in FILES if (folder / name).is_file() for one in _of(folder / name)]


def found(folder: Path, *kinds: str) -> str | None:
    """What is asked for as one of `kinds`, the first of these that there is."""
    references = {one.kind: one.reference for one in reversed(asked(folder))}
    return next((references[kind] for kind in kinds if kind in references), None)


def is_asked(folder: Path, *, trusted: bool) -> bool:
    """Whether config.json asks for a model in code of its own. Raises `UserError` where that is not `trusted`."""
    models = [one for one in asked(folder) if one.file.name == checkpoint.CONFIG]
    if models and not trusted:
        raise refusal(models[0])
    return bool(models)


def check(folder: Path, *, trusted: bool, served: bool) -> None:
    """Raises `UserError` for code that is needed and not trusted, or trusted and not all there. `served` says whether
    transformers has a model of this model_type itself."""
    if not served:
        is_asked(folder, trusted=trusted)
    for one in asked(folder):
        if trusted and "--" in one.reference:
            raise UserError(
                f"{one.file} asks for code of another repository ({one.reference}), which no fingerprint covers; copy its files "
                "into the checkpoint's folder, and name them without the repository"
            )
        if trusted and not (folder / one.source).is_file():
            raise UserError(f"{one.file} asks for {one.source} (auto_map), which is not there; copy it, or download it again")


def check_classes(folder: Path) -> None:
    """Raises `UserError` where tokenizer or processor are of a class that only code of the checkpoint has. Imports
    transformers."""
    import transformers

    for one in asked(folder):
        named = checkpoint.read_json(one.file).get(CLASS_NAMES.get(one.kind, ""))
        if isinstance(named, str) and not hasattr(transformers, named):
            raise refusal(one)


def refusal(one: Asked) -> UserError:
    return UserError(
        f"{one.file} asks for code of the checkpoint's own ({one.source}, auto_map), which is not run without "
        "--trust-remote-code; read the code first: it can do anything that you can"
    )


def digest(folder: Path) -> str:
    """sha256 over the names and contents of all code in a folder, and in those below."""
    files = sorted((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*.py") if file.is_file())
    content = [(name, hashlib.sha256(file.read_bytes()).hexdigest()) for name, file in files]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _of(file: Path) -> Iterator[Asked]:
    auto_map = checkpoint.read_json(file).get("auto_map")
    if not isinstance(auto_map, dict):
        return
    for kind, value in auto_map.items():
        references = value if isinstance(value, list) else [value]  # of a tokenizer: slow and fast
        yield from (Asked(file, kind, one) for one in references if isinstance(one, str) and "." in one)
