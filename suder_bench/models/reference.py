"""What `--model` means: a shipped checkpoint, a checkpoint folder, a hub id, or `adapter:reference`."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suder_bench import registry
from suder_bench.errors import UserError, unknown
from suder_bench.models import arguments, checkpoint, hub, lora, training_folder
from suder_bench.models.arguments import TRUST
from suder_bench.models.diffusion import files as diffusion_files
from suder_bench.models.emu3 import reference as emu3_reference
from suder_bench.models.hub import HUB_ID
from suder_bench.models.openai import place as openai_place
from suder_bench.models.showo import reference as showo_reference
from suder_bench.models.showo.sizes import is_showo
from suder_bench.models.vlm import code, families, whole

if TYPE_CHECKING:
    from suder_bench.models.protocols import Model

WORLD_MARKER = "suder_bench_world"
"""Key of config.json that is true in checkpoints trained on the embedded world."""

LONGEST_LABEL = 100
"""Characters: it becomes the name of a folder."""

BEHIND_ADDRESS = ("openai",)
"""Adapters of models that run elsewhere, with settings of their own."""

_GUIDANCE = {"emu3": emu3_reference.GUIDANCE, "showo": showo_reference.GUIDANCE}
"""Of adapters whose authors have another than Janus'."""

_WEIGHTS = ("*.safetensors", "*.bin")
_MODEL_TYPES = {"janus": "janus", "multi_modality": "janus", "emu3": "emu3", "showo": "showo"}
"""model_type of config.json -> adapter, of the families that have one to themselves."""

_CHECKS: Mapping[str, Callable[[Path, Mapping[str, str]], None]] = {
    "janus": lambda folder, asked: checkpoint.check(folder, ("janus", "multi_modality")),
    "emu3": lambda folder, asked: checkpoint.check(folder, ("emu3",)),
    "showo": lambda folder, asked: showo_reference.check(folder),
    "vlm": lambda folder, asked: whole.check(folder, trusted=TRUST in asked),
    "diffusers": lambda folder, asked: diffusion_files.check(folder),
}
"""Adapters that read a checkpoint folder or hub id, and what they can say of a folder without reading a tensor."""


HALVES: Mapping[str, str] = {"vlm": "und", "diffusers": "gen", "folder": "gen"}
"""Adapters of models that only answer or only draw, whatever the checkpoint, with the suite of what they can do."""


@dataclass(frozen=True)
class ModelReference:
    """A model not loaded yet. `name` is what the user wrote; `reference` is what the adapter loads."""

    name: str
    adapter: str
    reference: str

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The folders or hub ids that the reference names, the one that draws first, without what it asks of its adapter."""
        if self.adapter == "emu3":
            return emu3_reference.read(self.reference).checkpoints
        alone, _ = arguments.split(self.adapter, self.reference)
        base, adapters = lora.split(alone) if self.adapter == "janus" else (alone, None)
        return (base,) if adapters is None else (base, adapters)

    @property
    def asked(self) -> dict[str, str]:
        """What is asked of the adapter besides the checkpoint; see `arguments`."""
        return arguments.split(self.adapter, self.reference)[1]

    def at(self, folder: Path) -> ModelReference:
        """A later checkpoint of this model, loaded with the same settings: one of a training that began with it."""
        name = arguments.join(self.adapter, str(folder), self.asked)
        return ModelReference(name, self.adapter, name)

    @property
    def label(self) -> str:
        """A short name for folders and tables: the last part of each path or hub id, and what is asked of its adapter."""
        told = [name if name in arguments.FLAGS else value for name, value in self.asked.items()]
        if self.adapter in BEHIND_ADDRESS:
            lasts = [openai_place.read(self.reference).model.rpartition("/")[2]]
        else:
            lasts = [_last(one) for one in self.checkpoints]
        last = self.name if self.name in registry.CHECKPOINTS else "-".join(["+".join(lasts), *told])
        return re.sub(r"[^\w.+-]+", "-", last).strip("-.")[:LONGEST_LABEL] or self.adapter

    @property
    def world(self) -> bool:
        """Whether the model was trained on the embedded world, which makes the world its default data."""
        own = self.checkpoints[:1] if self.adapter == "janus" else self.checkpoints  # what goes into a base says nothing
        folders = [self.described(one) for one in own]
        configs = [None if one is None else one / checkpoint.CONFIG for one in folders]
        return all(one is not None and one.is_file() and checkpoint.read_json(one).get(WORLD_MARKER) is True for one in configs)

    @property
    def guidance(self) -> float | None:
        """The guidance that a checkpoint asks for in generation_config.json, else its family's or pipeline's own; None
        where the model behind an address keeps its own.

        Raises `UserError` for one that is no number from 0 on.
        """
        from suder_bench.models.protocols import JANUS_GUIDANCE

        if self.adapter == "diffusers":
            from suder_bench.models.diffusion import defaults

            return defaults.of(self.checkpoints[0]).guidance
        if self.adapter in BEHIND_ADDRESS:
            return None
        own = _GUIDANCE.get(self.adapter, JANUS_GUIDANCE)
        folder = self.described(self.checkpoints[0])
        return own if folder is None else checkpoint.sampling(folder).get("guidance_scale", own)

    @property
    def steps(self) -> int | None:
        """How many steps a picture takes by itself; None for models that draw in none, and where nobody knows yet."""
        if self.adapter == "showo":
            return showo_reference.steps_of(self.reference, self.described(self.checkpoints[0]))
        if self.adapter != "diffusers":
            return None
        from suder_bench.models.diffusion import defaults

        return defaults.of(self.checkpoints[0]).steps

    def stamp(self) -> str | None:
        """Names, sizes and times of the checkpoint's files, to notice cheaply that it changed; None where there are none here."""
        folders = [self._folder(one) for one in (*self.checkpoints, *self._parts())]
        if None in folders:
            return None
        listings = [_listing(folder) for folder in folders if folder is not None]
        return hashlib.sha256(json.dumps(listings[0] if len(listings) == 1 else listings).encode()).hexdigest()[:16]

    def absent(self) -> list[str]:
        """The folders or hub ids of which no weights are here."""
        return [one for one in (*self.checkpoints, *self._parts()) if self._folder(one) is None]

    def _parts(self) -> Sequence[str]:
        """Folders or hub ids of what belongs to a checkpoint and does not lie in its folder."""
        if self.adapter != "showo":
            return ()
        folder = self.described(self.checkpoints[0])
        sizes = showo_reference.sizes_of(self.reference, folder)
        if sizes is None:
            return ()
        found = showo_reference.read(self.reference).outside(folder or Path(self.checkpoints[0]), clip=sizes.clip)
        return [one for name, one in found.items() if name != "tokenizer" or hub.is_folder(one)]

    def check(self) -> None:
        """Raises `UserError` for what can be seen, without loading it, to be no model. Other packages' adapters are not asked."""
        if self.adapter == "folder":
            from suder_bench.models import folder

            folder.check(self.reference)
        elif self.adapter == "openai":
            openai_place.key_for(openai_place.read(self.reference))
        elif self.adapter in _CHECKS:
            for place, one in enumerate(self.checkpoints):
                local = Path(one).expanduser()
                goes_in = place > 0 and self.adapter == "janus"
                if lora.is_alone(local) or (goes_in and (local / lora.CONFIG).is_file()):
                    lora.check(local)
                elif goes_in:
                    checkpoint.check_weights(local)
                elif local.is_dir():
                    _CHECKS[self.adapter](local, self.asked)
                elif not HUB_ID.fullmatch(one):
                    added = ", and '+' not followed by a folder of LoRA adapters or of weights alone" if "+" in one else ""
                    raise UserError(f"model '{self.name}': '{one}' is neither a folder nor a hub id (ORG/NAME){added}")

    def _folder(self, reference: str) -> Path | None:
        """The folder of a checkpoint's files, None where its weights are not here."""
        found = self.described(reference)
        if found is None or Path(reference).expanduser().is_dir() or any(file for end in _WEIGHTS for file in found.rglob(end)):
            return found
        return None

    def described(self, reference: str) -> Path | None:
        """The folder of what a checkpoint says of itself: for a hub id, the snapshot in the hub's cache."""
        folder = Path(reference).expanduser()
        if folder.is_dir():
            return folder
        return hub.cached(reference) if self.adapter in _CHECKS and HUB_ID.fullmatch(reference) else None

    def load(self, *, device: str, dtype: str) -> Model:
        """Load the weights. Raises `UserError` when the adapter cannot read the reference."""
        model: Model = registry.load("models", self.adapter).load(self.reference, device=device, dtype=dtype)
        return model


def choose(text: str, asked: Mapping[str, str] | None = None, *, base: str | None = None, fetch: bool = True) -> ModelReference:
    """Read the value of `--model`, what flags ask of its adapter, and the `base` that LoRA adapters go into in place of their
    config's.

    What a hub id is, its own files say, which are fetched where they are not in the hub's cache; without `fetch` nothing is, and
    one that is not in the cache is taken for a Janus, the paper's main subject, unless it is a published Show-o's.

    Raises `UserError` with the nearest name, or with what the folder lacks or the hub says, or for what the adapter does not
    take.
    """
    asked = asked or {}
    found = _choose(text, fetch, trusted=TRUST in asked) if base is None else _based(text, base, fetch)
    arguments.split(found.adapter, found.reference)  # which refuses what the adapter does not take
    if not asked:
        return found
    return replace(found, **{part: arguments.join(found.adapter, getattr(found, part), asked) for part in ("name", "reference")})


def _based(text: str, base: str, fetch: bool) -> ModelReference:
    """LoRA adapters, or weights alone, with the model that they go into."""
    alone, mark, query = arguments.cut(text.removeprefix("janus:"))
    base = _base(base)
    written, added = lora.split(alone)
    if added is not None and _same(written, base):
        return _choose(text, fetch, trusted=False)
    if added is not None:
        raise UserError(f"model '{text}' and --base both give a base; leave one out")
    folder = Path(written).expanduser()
    fetched = HUB_ID.fullmatch(written) is not None and not folder.is_dir()
    described = hub.description(written) if fetched else folder
    if not lora.is_alone(described) and not training_folder.is_bare(described):
        lacks = "has a config.json: it is a whole model" if (described / checkpoint.CONFIG).is_file() else f"has no {lora.CONFIG}"
        raise UserError(f"--base {base} is for LoRA adapters or weights alone, but '{written}' {lacks}; leave out --base")
    reference = f"{base}+{hub.folder_of(written) if fetched else written}{mark}{query}"
    return ModelReference(f"janus:{reference}", "janus", reference)


def _base(text: str) -> str:
    """The folder or hub id of what `--base` names."""
    base = text.removeprefix("janus:")
    if base in registry.CHECKPOINTS:
        return str(registry.resolve(registry.CHECKPOINTS[base][1])(base))
    if not hub.is_folder(base) and not HUB_ID.fullmatch(base):
        names = ", ".join(registry.CHECKPOINTS)
        raise UserError(f"--base '{text}' is neither a folder nor a hub id (ORG/NAME); give that of a Janus ({names}, FOLDER)")
    return base


def _same(one: str, other: str) -> bool:
    return one == other or (hub.is_folder(one) and hub.is_folder(other) and Path(one).resolve() == Path(other).resolve())


def _choose(text: str, fetch: bool, *, trusted: bool) -> ModelReference:
    if text in registry.CHECKPOINTS:
        adapter, finder = registry.CHECKPOINTS[text]
        return ModelReference(text, adapter, str(registry.resolve(finder)(text)))
    adapters = registry.table("models")
    folder = Path(text).expanduser()
    found_here = bool(text) and hub.is_folder(text)
    if found_here and lora.is_alone(folder):
        return ModelReference(text, "janus", f"{lora.base_of(folder)}+{text}")
    if found_here:
        return ModelReference(text, _adapter_of(folder, trusted=trusted), text)
    alone, mark, query = arguments.cut(text)
    if mark and (alone in registry.CHECKPOINTS or hub.is_folder(alone) or HUB_ID.fullmatch(alone)):
        found = _choose(alone, fetch, trusted=trusted or arguments.asks(query, TRUST))
        if found.adapter not in arguments.TAKEN:
            takers = ", ".join(arguments.TAKEN)
            raise UserError(f"model '{text}': adapter '{found.adapter}' takes no settings (choices: {takers})")
        return ModelReference(text, found.adapter, f"{found.reference}?{query}")
    adapter, colon, reference = text.partition(":")
    if colon:
        if adapter not in adapters:
            raise unknown("model adapter", adapter, adapters)
        if not reference:
            raise UserError(f"model '{text}' names no checkpoint; write {adapter}:REFERENCE")
        return ModelReference(text, adapter, reference)
    if HUB_ID.fullmatch(text):
        if not fetch and hub.cached(text) is None:
            return ModelReference(text, "showo" if text in showo_reference.PUBLISHED else "janus", text)
        described = hub.description(text)
        if lora.is_alone(described):
            return ModelReference(text, "janus", f"{lora.base_of(described)}+{hub.folder_of(text)}")
        return ModelReference(text, _adapter_of(described, text, trusted=trusted), text)
    if "/" in text:
        raise UserError(f"model '{text}' is not a folder; give a checkpoint folder, a hub id (ORG/NAME) or adapter:REFERENCE")
    raise unknown("model", text, [*registry.CHECKPOINTS, *(f"{name}:REFERENCE" for name in adapters), "FOLDER", "ORG/NAME"])


def _listing(folder: Path) -> list[Any]:
    stats = [(str(path.relative_to(folder)), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [str(folder.resolve()), [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]]


def _last(reference: str) -> str:
    """The last part of a path or hub id, also of the id that a snapshot in the hub's cache is of."""
    path = Path(os.path.abspath(reference))
    return path.parts[-3].rpartition("--")[2] if path.parent.name == "snapshots" else path.name


def _adapter_of(folder: Path, name: str | None = None, *, trusted: bool) -> str:
    """By what the folder says of itself; `name` is what the user wrote for it."""
    if (folder / diffusion_files.INDEX).is_file():
        return "diffusers"
    config = folder / "config.json"
    if not config.is_file():
        left = training_folder.lacking(folder)
        raise UserError(f"model folder '{folder}' {left or f'holds no config.json; name the adapter: ADAPTER:{name or folder}'}")
    told = checkpoint.read_json(config)
    kind = "showo" if is_showo(told) else told.get("model_type")
    if isinstance(kind, str) and kind in _MODEL_TYPES:
        return _MODEL_TYPES[kind]
    if isinstance(kind, str) and (families.served(kind) or code.is_asked(folder, trusted=trusted)):
        return "vlm"
    added = set(registry.table("models")) - set(registry.TABLE["models"])
    if isinstance(kind, str) and kind in added:
        return kind
    known = ", ".join([*_MODEL_TYPES, *families.FAMILIES, *sorted(added)])
    raise UserError(f"{config}: model_type {kind!r} has no adapter ({known}); name one: ADAPTER:{name or folder}")
