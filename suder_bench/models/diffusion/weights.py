"""A pipeline folder in memory: each component through its own class, so that what is missing, left over or no number is told."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from suder_bench.errors import UserError
from suder_bench.models import built, checkpoint, hub, unfinished
from suder_bench.models.built import blamed, check_finite, tell_zeros
from suder_bench.models.diffusion import defaults, files

_SHAPES = re.compile(r"(?P<key>\S+) expected shape torch\.Size\(\[(?P<wanted>.*?)\]\), but got torch\.Size\(\[(?P<held>.*?)\]\)")


@dataclass(frozen=True)
class Loaded(checkpoint.Loaded):
    """A pipeline on its device, in eval mode. `parts` are of its components; `off` are those that are not loaded."""

    pipeline: Any
    off: tuple[str, ...]
    variant: str | None


def find(reference: str) -> Path:
    """The folder of a pipeline; a hub id is fetched into the hub's cache. Raises `UserError` if it is no whole pipeline."""
    folder = Path(reference).expanduser()
    if not folder.is_dir():
        with hub.fetching(reference, "pipeline of the hub"), quiet():
            folder = Path(defaults.library().DiffusionPipeline.download(reference, **dict.fromkeys(files.OFF)))
    files.check(folder)
    return folder


def load(folder: Path, *, device: torch.device, dtype: torch.dtype, allow_nonfinite: bool = False) -> Loaded:
    """Read a folder that `find` returned. Raises `UserError` where its files do not fit each other, cannot be read, or without
    `allow_nonfinite` hold weights that are no numbers."""
    index = files.read_index(folder / files.INDEX)
    kind = defaults.pipeline_class(index["_class_name"])
    chosen = files.variant(folder)
    off = files.switched_off(index)
    heavy = [file for name in files.weighty(folder) for file in files.weight_files(folder / name, chosen)]
    with unfinished.unchanged(heavy), quiet():
        parts = {name: _component(folder, name, *files.components(index)[name], chosen, dtype) for name in files.weighty(folder)}
        weights = {f"{name}.{key}": one for name, part in parts.items() for key, one in part.state_dict().items()}
        notes = check_finite(folder, weights, allowed=allow_nonfinite) | tell_zeros(folder, weights)
        with blamed(folder, "pipeline"):
            absent = {name: None for name in files.OFF if name in index}
            silent = {"requires_safety_checker": False} if "requires_safety_checker" in index else {}
            marks = {"add_watermarker": False} if index["_class_name"].startswith("StableDiffusionXL") else {}
            pipeline = kind.from_pretrained(folder, local_files_only=True, **parts, **absent, **silent, **marks)
    pipeline.set_progress_bar_config(disable=True)
    return Loaded(pipeline.to(device), tuple(off), chosen, parts=files.digests(folder), notes=notes)


def _component(folder: Path, name: str, library: str, kind: str, variant: str | None, dtype: torch.dtype) -> Any:
    first = files.weight_files(folder / name, variant)[0].name
    with blamed(folder, f"component {name}"):
        if library not in ("diffusers", "transformers"):
            raise UserError(f"model '{folder}': its component {name} is of {library}.{kind}, which nothing here can load")
        loading: dict[str, Any] = {
            "variant": variant if variant and f".{variant}" in first else None,
            "use_safetensors": first.endswith(".safetensors"),
            "local_files_only": True,
            "output_loading_info": True,
            "dtype" if library == "transformers" else "torch_dtype": dtype,
        }
        if library == "transformers":
            loading["ignore_mismatched_sizes"] = True  # told below, in one line
        with _own_words(folder, name):
            model, info = getattr(importlib.import_module(library), kind).from_pretrained(folder / name, **loading)
        _check_keys(folder, name, info)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()  # it may be the file, mapped into memory: written over, it would be another model
    return model.eval()


@contextmanager
def _own_words(folder: Path, name: str) -> Iterator[None]:
    """Diffusers ends over the first weight of another shape, with advice that helps nobody here."""
    try:
        yield
    except ValueError as error:
        found = _SHAPES.search(str(error))
        if found is None:
            raise
        wanted, held = (f"({found[side]})" for side in ("wanted", "held"))
        raise _misshapen(folder, name, found["key"], held, wanted) from error


def _misshapen(folder: Path, name: str, key: str, held: object, wanted: object) -> UserError:
    cure = f"give it the config.json that its {name} was saved with"
    return UserError(f"model '{folder}' has {name}.{key} of shape {held}, its config.json asks for {wanted}; {cure}")


def _check_keys(folder: Path, name: str, info: Mapping[str, Any]) -> None:
    """Raises `UserError` for weights that are missing, of another size, or in no use: the libraries fill in random ones."""
    missing, unused = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    sizes = sorted((key, tuple(found), tuple(wanted)) for key, found, wanted in info["mismatched_keys"])
    cure = f"give it the config.json that its {name} was saved with"
    if missing:
        lacks = f"lacks {len(missing)} weights of its {name}, such as {missing[0]}"
        raise UserError(f"model '{folder}' {lacks}; the pipeline is incomplete")
    if sizes:
        raise _misshapen(folder, name, *sizes[0])
    if unused:
        told = f"{len(unused)} weights that the config.json of its {name} leaves unused, such as {unused[0]}"
        raise UserError(f"model '{folder}' holds {told}; {cure}")


@contextmanager
def quiet() -> Iterator[None]:
    """As `built.quiet`, and without the bars and advice of diffusers, whose content is told in one line where it matters."""
    from diffusers.utils import logging as diffusers_logging

    level, bars = diffusers_logging.get_verbosity(), diffusers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    try:
        with built.quiet():
            yield
    finally:
        diffusers_logging.set_verbosity(level)
        if bars:
            diffusers_logging.enable_progress_bar()
