"""A transformers processor from its parts, with pictures prepared by PIL and without videos.

transformers prepares pictures with torchvision where that is installed, and their pixels differ; it also refuses processors
that know videos where it is not. Here a picture gives the same pixels on every machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING, processor_class_from_name

from suder_bench import registry
from suder_bench.errors import UserError
from suder_bench.models import checkpoint
from suder_bench.models.vlm import code
from suder_bench.models.vlm.families import Family

NAMED_IN = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
"""Files that may name the processor's class, in transformers' order."""


def processor(folder: Path, config: PreTrainedConfig, family: Family, *, trusted: bool = False) -> Any:
    """The processor of a checkpoint folder, in its own code where that is `trusted`.

    Raises `UserError` where it is none for pictures and text.
    """
    kind = _class(folder, config, trusted=trusted)
    parts = [_part(kind, name, folder, family, trusted=trusted) for name in kind.get_attributes()]
    settings, _ = kind.get_processor_dict(folder, local_files_only=True)
    return _without_videos(kind).from_args_and_dict(parts, settings)


def _without_videos(kind: Any) -> Any:
    """The class of processor, that takes None for the part that prepares videos."""

    def check(self: Any, name: str, part: Any) -> Any:
        return None if part is None else kind.check_argument_for_proper_class(self, name, part)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check})


def _class(folder: Path, config: PreTrainedConfig, *, trusted: bool) -> Any:
    own = code.found(folder, "AutoProcessor") if trusted else None
    if own is not None:
        return get_class_from_dynamic_module(own, folder, local_files_only=True)
    files = [folder / name for name in NAMED_IN if (folder / name).is_file()]
    named = [name for file in files if isinstance(name := checkpoint.read_json(file).get("processor_class"), str)]
    found = next((kind for name in named if (kind := processor_class_from_name(name)) is not None), None)
    if found is None and type(config) in PROCESSOR_MAPPING:
        found = PROCESSOR_MAPPING[type(config)]
    if found is None or not found.__module__.startswith("transformers."):
        raise UserError(f"model '{folder}' has model_type '{config.model_type}', for which transformers has no processor")
    return found


def _part(kind: Any, name: str, folder: Path, family: Family, *, trusted: bool) -> Any:
    if name == "image_processor":
        return _image_processor(folder, family, trusted=trusted)
    if name == "tokenizer":
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trusted)
    if name == "video_processor":
        return None
    if name.endswith("tokenizer"):
        if not (folder / name).is_dir():
            raise UserError(f"model '{folder}' lacks the folder {name} of its {kind.__name__}; copy it of where it comes from")
        return AutoTokenizer.from_pretrained(folder / name, local_files_only=True, trust_remote_code=False)
    raise UserError(f"model '{folder}': its {kind.__name__} needs a {name}, which is neither for pictures nor for text")


def _image_processor(folder: Path, family: Family, *, trusted: bool) -> Any:
    made: Any = AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True, trust_remote_code=trusted)
    instead = family.instead.get(type(made).__name__)
    if instead is not None:
        made = registry.resolve(instead).from_pretrained(folder, local_files_only=True)
    for name, value in family.image_processor.get(type(made).__name__, {}).items():
        setattr(made, name, value)
    return made
