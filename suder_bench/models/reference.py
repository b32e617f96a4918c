"""What `--model` means: a shipped checkpoint, a checkpoint folder, a hub id, or `adapter:reference`."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from suder_bench import registry
from suder_bench.errors import UserError, unknown
from suder_bench.models import checkpoint

if TYPE_CHECKING:
    from suder_bench.models.protocols import Model

WORLD_MARKER = "suder_bench_world"
"""Key of config.json that is true in checkpoints trained on the embedded world."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MODEL_TYPES = {"janus": "janus"}


@dataclass(frozen=True)
class ModelReference:
    """A model not loaded yet. `name` is what the user wrote; `reference` is what the adapter loads."""

    name: str
    adapter: str
    reference: str

    @property
    def label(self) -> str:
        """A short name for folders and tables: the last part of a path or hub id."""
        last = self.name if self.name in registry.CHECKPOINTS else os.path.basename(os.path.abspath(self.reference))
        return re.sub(r"[^\w.+-]+", "-", last).strip("-.") or self.adapter

    @property
    def world(self) -> bool:
        """Whether the model was trained on the embedded world, which makes the world its default data."""
        config = Path(self.reference).expanduser() / "config.json"
        return config.is_file() and checkpoint.read_json(config).get(WORLD_MARKER) is True

    @property
    def guidance(self) -> float:
        """The guidance that a checkpoint folder asks for in generation_config.json, else Janus' own 5.

        Raises `UserError` for one that is no number from 0 on.
        """
        from suder_bench.models.protocols import ImageSampling

        return checkpoint.sampling(Path(self.reference).expanduser()).get("guidance_scale", ImageSampling.guidance)

    def stamp(self) -> str | None:
        """Names, sizes and times of the checkpoint's files, to notice cheaply that it changed; None where there are none here."""
        folder = self._folder()
        if folder is None:
            return None
        stats = [(str(path.relative_to(folder)), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
        listing = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        return hashlib.sha256(json.dumps([str(folder.resolve()), listing]).encode()).hexdigest()[:16]

    def check(self) -> None:
        """Raises `UserError` for what can be seen, without loading it, to be no model. Other packages' adapters are not asked."""
        if self.adapter == "folder":
            from suder_bench.models import folder

            folder.check(self.reference)
        elif self.adapter in _MODEL_TYPES.values():
            local = Path(self.reference).expanduser()
            if local.is_dir():
                checkpoint.check(local, self.adapter)
            elif not _HUB_ID.fullmatch(self.reference):
                raise UserError(f"model '{self.name}': '{self.reference}' is neither a folder nor a hub id (ORG/NAME)")

    def _folder(self) -> Path | None:
        """The folder of the checkpoint's files: for a hub id, of the snapshot in the hub's cache."""
        folder = Path(self.reference).expanduser()
        if folder.is_dir():
            return folder
        if self.adapter not in _MODEL_TYPES.values() or not _HUB_ID.fullmatch(self.reference):
            return None
        from huggingface_hub import try_to_load_from_cache

        try:
            found = try_to_load_from_cache(self.reference, checkpoint.CONFIG)
        except ValueError:  # no name that the hub allows; loading says so
            return None
        return Path(found).parent if isinstance(found, str) else None

    def load(self, *, device: str, dtype: str) -> Model:
        """Load the weights. Raises `UserError` when the adapter cannot read the reference."""
        model: Model = registry.load("models", self.adapter).load(self.reference, device=device, dtype=dtype)
        return model


def choose(text: str) -> ModelReference:
    """Read the value of `--model`. Raises `UserError` with the nearest name, or with what the folder lacks."""
    if text in registry.CHECKPOINTS:
        adapter, finder = registry.CHECKPOINTS[text]
        return ModelReference(text, adapter, str(registry.resolve(finder)(text)))
    adapters = registry.table("models")
    folder = Path(text).expanduser()
    if text and folder.is_dir():
        return ModelReference(text, _adapter_of(folder), text)
    adapter, colon, reference = text.partition(":")
    if colon:
        if adapter not in adapters:
            raise unknown("model adapter", adapter, adapters)
        if not reference:
            raise UserError(f"model '{text}' names no checkpoint; write {adapter}:REFERENCE")
        return ModelReference(text, adapter, reference)
    if _HUB_ID.fullmatch(text):
        return ModelReference(text, "janus", text)
    if "/" in text:
        raise UserError(f"model '{text}' is not a folder; give a checkpoint folder, a hub id (ORG/NAME) or adapter:REFERENCE")
    raise unknown("model", text, [*registry.CHECKPOINTS, *(f"{name}:REFERENCE" for name in adapters), "FOLDER", "ORG/NAME"])


def _adapter_of(folder: Path) -> str:
    config = folder / "config.json"
    if not config.is_file():
        raise UserError(f"model folder '{folder}' holds no config.json; name the adapter: ADAPTER:{folder}")
    kind = checkpoint.read_json(config).get("model_type")
    if not isinstance(kind, str) or kind not in _MODEL_TYPES:
        raise UserError(f"{config}: model_type {kind!r} has no adapter ({', '.join(_MODEL_TYPES)}); name one: ADAPTER:{folder}")
    return _MODEL_TYPES[kind]
