"""The files of a pipeline folder in diffusers' format: a folder for each component that model_index.json names.

Imports neither torch nor diffusers, so that what is missing can be told before gigabytes are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from suder_bench.errors import UserError
from suder_bench.models import checkpoint, unfinished

INDEX = "model_index.json"
OFF = ("safety_checker", "feature_extractor", "watermarker")
"""Components that are not loaded: they blacken or mark pictures, or read pictures for one that does."""

SCHEDULER = "scheduler_config.json"
CONFIGS = ("config.json", SCHEDULER, "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
VOCABULARIES = (*checkpoint.VOCABULARIES, "spiece.model", "vocab.txt")
STEMS = ("diffusion_pytorch_model.safetensors", "model.safetensors", "diffusion_pytorch_model.bin", "pytorch_model.bin")
"""Weights of one component, the first that is there."""

_VARIANT = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)\.(?:(?:safetensors|bin)\.index\.)?(\w+?)(?:-\d+-of-\d+)?\.\w+"
)
_DECIDING = (".json", ".txt", ".model", ".jinja")


def read_index(file: Path) -> dict[str, Any]:
    """What model_index.json says. Raises `UserError` where it names no pipeline of diffusers' own."""
    index = checkpoint.read_json(file)
    if isinstance(index.get("_class_name"), list):
        raise UserError(f"{file} asks for a pipeline in code of its own ({index['_class_name'][0]}.py), which is not run")
    if not isinstance(index.get("_class_name"), str):
        raise UserError(f"{file} names no pipeline (_class_name); give a folder that diffusers' save_pretrained wrote")
    return index


def components(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """{name: (library, class)} of the components that are there and are loaded."""
    pairs = {name: value for name, value in index.items() if isinstance(value, list) and name not in ("_class_name", *OFF)}
    return {name: (one[0], one[1]) for name, one in pairs.items() if len(one) == 2 and all(isinstance(word, str) for word in one)}


def switched_off(index: Mapping[str, Any]) -> list[str]:
    """The components that the pipeline has and that are not loaded."""
    return [name for name in OFF if isinstance(index.get(name), list) and index[name][:1] != [None]]


def check(folder: Path) -> None:
    """Raises `UserError` for a folder that holds no whole pipeline, naming what is missing or not whole. Reads no tensor."""
    if not (folder / INDEX).is_file():
        _refuse(folder, f"holds no {INDEX}", "give a folder that diffusers' save_pretrained wrote")
    parts = components(read_index(folder / INDEX))
    if not parts:
        _refuse(folder, f"has a {INDEX} that names no components", "give a folder that diffusers' save_pretrained wrote")
    for name, (library, kind) in parts.items():
        place = folder / name
        if not place.is_dir():
            _refuse(folder, f"lacks the folder {name}, which its {INDEX} names", "copy it, or download the pipeline again")
        if (place / f"{library}.py").is_file():
            raise UserError(f"model '{folder}' asks for code of its own ({name}/{library}.py), which is not run")
        _check_component(folder, name, kind)
    unfinished.check_folder(folder)
    chosen = variant(folder)
    for name in weighty(folder):
        for file in weight_files(folder / name, chosen):
            unfinished.check_fetched(file, "the weights")
            if file.suffix == ".safetensors":
                checkpoint.check_whole(file)
            elif not file.stat().st_size:
                raise UserError(f"{file} is empty; copy or save it again")


def weighty(folder: Path) -> list[str]:
    """The components that have weights: those with a config.json."""
    return [name for name in components(read_index(folder / INDEX)) if (folder / name / checkpoint.CONFIG).is_file()]


def variant(folder: Path) -> str | None:
    """The variant of the weights ("fp16"), None for those without: taken where all components have theirs.

    Raises `UserError` where a component has no weights, or not in the variant of the others.
    """
    names = weighty(folder)
    lacking = next((name for name in names if not _found(folder / name, None)), None)
    if lacking is None:
        return None
    matches = [_VARIANT.fullmatch(file.name) for file in sorted((folder / lacking).iterdir())]
    offered = sorted({match[1] for match in matches if match} - {"index", "safetensors", "bin"})
    for one in offered:
        if all(_found(folder / name, one) or _found(folder / name, None) for name in names):
            return one
    _refuse(
        folder, f"holds no weights in its folder {lacking} ({' or '.join(STEMS)})", "copy them, or download the pipeline again"
    )


def weight_files(place: Path, chosen: str | None) -> list[Path]:
    """The weights of one component. Raises `UserError` where an index names files that are not there."""
    found = _found(place, chosen) or _found(place, None)
    assert found is not None, "variant() says which there is"
    if not found.name.endswith(".json"):
        return [found]
    return checkpoint.shards(found)


def digests(folder: Path) -> dict[str, str]:
    """sha256 of what decides a picture, by component: configuration, vocabulary and the weights that are read."""
    chosen = variant(folder)
    heavy = weighty(folder)
    found = {"pipeline": checkpoint.digest([folder / INDEX])}
    for name in components(read_index(folder / INDEX)):
        files = [file for file in sorted((folder / name).iterdir()) if file.is_file() and file.suffix in _DECIDING]
        found[name] = checkpoint.digest([*files, *(weight_files(folder / name, chosen) if name in heavy else [])])
    return found


def _found(place: Path, chosen: str | None) -> Path | None:
    """The file of the weights, or the index of their files."""
    for name in STEMS:
        stem, ending = name.split(".")
        words = [f"{stem}.{chosen}.{ending}", f"{name}.index.{chosen}.json"] if chosen else [name, f"{name}.index.json"]
        for word in words:
            if (place / word).is_file():
                return place / word
    return None


def _check_component(folder: Path, name: str, kind: str) -> None:
    place = folder / name
    if not any((place / config).is_file() for config in CONFIGS):
        _refuse(folder, f"has no configuration in its folder {name}", "copy it, or download the pipeline again")
    if "Tokenizer" in kind and not any((place / words).is_file() for words in VOCABULARIES):
        _refuse(folder, f"has no vocabulary in its folder {name}", "copy it, or download the pipeline again")
    unfinished.check_folder(place)
    for file in sorted(one for one in place.iterdir() if one.suffix in _DECIDING):
        unfinished.check_fetched(file)
    for file in sorted(place.glob("*.json")):
        if file.name != SCHEDULER:
            checkpoint.read_json(file)
        elif not isinstance(_lenient(file), dict):
            raise UserError(f"{file}: not a JSON object")


def _lenient(file: Path) -> Any:
    """Of a scheduler: diffusers writes -Infinity into its settings, which JSON does not have (lambda_min_clipped)."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: not a readable JSON file ({error})") from None


def _refuse(folder: Path, what: str, cure: str) -> NoReturn:
    raise UserError(f"model '{folder}' {what}; {cure}")
