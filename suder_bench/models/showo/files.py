"""A Show-o checkpoint in memory: the authors' files or our own, and nothing but tensors is read out of a pickle.

What the layout is stands in `sizes`. Everything but the language model is frozen, and the image tokenizer stays in float32.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    PhiForCausalLM,
    PreTrainedTokenizerBase,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from suder_bench.errors import UserError
from suder_bench.models import checkpoint, unfinished
from suder_bench.models.built import NO_NAMES, blamed, build, fill, quiet, read_weights
from suder_bench.models.hub import folder_of
from suder_bench.models.showo import reference, sizes, vision
from suder_bench.models.showo.layout import SYSTEM
from suder_bench.models.showo.magvit import Magvit
from suder_bench.models.showo.reference import ShowoReference
from suder_bench.models.showo.sizes import PAD, SPECIAL, ShowoSizes

NETWORK, PROJECTOR = "showo.", "mm_projector."
"""What stands before the names of the language model's weights, and of the projector's."""

WEIGHTS = "pytorch_model.safetensors"
SYSTEM_TOKENS = 28
"""Of the text before a picture that CLIP reads, as the published tokenizer counts them."""

_TOWER = "vision_model."
"""Before the names of its tower in a whole CLIP."""


@dataclass(frozen=True)
class Loaded(checkpoint.Loaded):
    """A checkpoint in memory, in eval mode. `config` is what its config.json says, `folder` where it lies."""

    network: PhiForCausalLM
    magvit: Magvit
    tokenizer: PreTrainedTokenizerBase
    eyes: vision.Eyes | None
    sizes: ShowoSizes
    config: Mapping[str, Any]
    folder: Path


def load(asked: ShowoReference, *, device: torch.device, dtype: torch.dtype) -> Loaded:
    """Read what a reference names; hub ids are fetched. Raises `UserError` where files are missing, do not fit each other, cannot
    be read, or hold weights that are no numbers and may not be that."""
    folder = folder_of(asked.checkpoint)
    reference.check(folder)
    found = sizes.read(folder)
    checkpoint.tell_leftover_adapters(folder)
    outside = _outside(asked, folder, found)
    words = outside.get("tokenizer", folder)
    tokenizer = _tokenizer(words, found)
    reading = _Reading(device, dtype, asked.allow_nonfinite, {})
    pictures = outside.get("vq", folder / reference.OWN_VQ)
    magvit = reading.magvit(pictures, found)
    network, projector = reading.network(folder, found)
    parts = {**checkpoint.digests(folder), "image tokenizer": checkpoint.digest(checkpoint.weight_files(pictures))}
    parts["tokenizer"] = checkpoint.digest_of("tokenizer", words)
    eyes = None
    if found.clip:
        tower = outside.get("vision", folder / reference.OWN_VISION)
        eyes = reading.eyes(folder, tower, projector, found)
        parts |= {f"CLIP {name}": digest for name, digest in checkpoint.digests(tower).items() if digest}
    config = checkpoint.read_json(folder / checkpoint.CONFIG)
    return Loaded(network, magvit, tokenizer, eyes, found, config, folder, parts=parts, notes=reading.notes)


def _outside(asked: ShowoReference, folder: Path, found: ShowoSizes) -> dict[str, Path]:
    """The folders of what does not lie in the checkpoint's own."""
    places = {}
    for name, one in asked.outside(folder, clip=found.clip).items():
        try:
            places[name] = folder_of(one, weights=name != "tokenizer")
        except UserError as error:
            what = reference.PARTS[name]
            raise UserError(
                f"model '{folder}' has no {what} of its own, and takes it from {one} (?{name}=REF): {error}"
            ) from error
    return places


@dataclass(frozen=True)
class _Reading:
    """How weights are read; `notes` gathers what run.json has to say of them."""

    device: torch.device
    dtype: torch.dtype
    allowed: bool
    notes: dict[str, str]

    def magvit(self, folder: Path, found: ShowoSizes) -> Magvit:
        with torch.device("meta"):
            made = Magvit(found.magvit)
        self._fill(made, folder, _weights(folder), torch.float32)
        codes = torch.arange(found.magvit.codes, device=self.device)
        if not torch.equal(made.quantize.embedding, made.quantize.signs(codes)):
            raise UserError(f"model '{folder}': its codes are not the signs of their bits; give Show-o's own image tokenizer")
        return made

    def network(self, folder: Path, found: ShowoSizes) -> tuple[PhiForCausalLM, dict[str, torch.Tensor]]:
        """The language model, and the projector's weights."""
        weights = _weights(folder)
        own = {name: name.removeprefix(NETWORK) for name in weights if name.startswith(NETWORK)}
        projector = {name.removeprefix(PROJECTOR): one for name, one in weights.items() if name.startswith(PROJECTOR)}
        if projector and not found.clip:
            raise UserError(f"model '{folder}' holds weights of {PROJECTOR[:-1]}, but its config.json says no w_clip_vit")
        language = {own.get(name, name): one for name, one in weights.items() if not name.startswith(PROJECTOR)}
        with blamed(folder, "configuration"):
            config = found.phi_config()
        made, notes = build(
            PhiForCausalLM,
            folder,
            config,
            None,
            dtype=self.dtype,
            device=self.device,
            weights=language,
            origin={ours: theirs for theirs, ours in own.items()},
            allow_nonfinite=self.allowed,
        )
        self.notes.update(notes)
        return made, projector

    def eyes(self, folder: Path, tower: Path, projector: Mapping[str, torch.Tensor], found: ShowoSizes) -> vision.Eyes:
        with blamed(tower, "configuration"):
            config = CLIPVisionConfig.from_pretrained(tower, local_files_only=True)
        with blamed(tower, "image processor"):
            processor = CLIPImageProcessorPil.from_pretrained(tower, local_files_only=True)
        held = _weights(tower)
        named = {name: name.removeprefix(_TOWER) for name in held if name.startswith(_TOWER)} or {name: name for name in held}
        weights = {own: held[name] for name, own in named.items() if not own.endswith(".position_ids")}
        clip, notes = build(
            CLIPVisionModel,
            tower,
            config,
            None,
            dtype=self.dtype,
            device=self.device,
            weights=weights,
            origin={own: name for name, own in named.items()},
            allow_nonfinite=self.allowed,
        )
        self.notes.update(notes)
        with torch.device("meta"):
            project = vision.projector(config.hidden_size, int(found.phi_config().hidden_size))
        self._fill(project, folder, projector, self.dtype, {name: PROJECTOR + name for name in project.state_dict()})
        return vision.Eyes(clip, processor, project).requires_grad_(False)

    def _fill(
        self,
        module: torch.nn.Module,
        folder: Path,
        weights: Mapping[str, torch.Tensor],
        dtype: torch.dtype,
        origin: Mapping[str, str] = NO_NAMES,
    ) -> None:
        with unfinished.unchanged(checkpoint.weight_files(folder)), blamed(folder, "weights"):
            allowed, device = self.allowed, self.device
            notes = fill(module, folder, weights, dtype=dtype, device=device, origin=origin, allow_nonfinite=allowed)
        module.requires_grad_(False)
        self.notes.update(notes)


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint.check_weights(folder)
    with blamed(folder, "weights"):
        return read_weights(folder)


def _tokenizer(folder: Path, found: ShowoSizes) -> PreTrainedTokenizerBase:
    """The text tokenizer, with or without Show-o's tokens. Raises `UserError` where its ids are not those of config.json."""
    checkpoint.check_tokenizer(folder)
    with blamed(folder, "tokenizer"), quiet():
        made = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        made.decode(made.encode("a word", add_special_tokens=False), skip_special_tokens=True)
    check_tokenizer(made, found, str(folder))
    return made


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, found: ShowoSizes, name: str) -> None:
    """Raises `UserError` where the ids are not those of config.json: another release would shift all codes silently."""
    ids, text = set(tokenizer.get_vocab().values()), found.text_vocabulary
    cure = "give the one that it was trained with (?tokenizer=REF)"
    more = {token: text + i for i, token in enumerate((PAD, *SPECIAL))}
    vocabulary = tokenizer.get_vocab()
    moved = [token for token, id_ in more.items() if vocabulary.get(token, id_) != id_]
    if len(ids) not in (text, text + len(more)) or max(ids, default=-1) != len(ids) - 1 or moved:
        told = f", and {moved[0]} at {vocabulary[moved[0]]:,} in place of {more[moved[0]]:,}" if moved else ""
        raise UserError(f"tokenizer '{name}' has {len(ids):,} ids{told}, but config.json says llm_vocab_size {text:,}; {cure}")
    end, begin = tokenizer.eos_token_id, tokenizer.bos_token_id
    if not isinstance(end, int) or begin not in (None, end):
        raise UserError(f"tokenizer '{name}' has end {end} and begin {begin} of text, which are one token in a Show-o; {cure}")
    if found.clip and text == ShowoSizes().text_vocabulary:
        count = len(tokenizer.encode(SYSTEM, add_special_tokens=False))
        if count != SYSTEM_TOKENS:
            raise UserError(f"tokenizer '{name}' makes {count} tokens of the system prompt, not {SYSTEM_TOKENS}; {cure}")


def save(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    *,
    sizes: ShowoSizes,
    config: Mapping[str, Any],
    magvit: Magvit,
    tokenizer: PreTrainedTokenizerBase,
    eyes: vision.Eyes | None = None,
    source: Path | None = None,
) -> None:
    """Write a checkpoint that is whole in itself, in the authors' names: `weights` of the language model by their own names, and
    everything else that decides a response. `config` are keys of config.json that the sizes do not say; `source` is the folder of
    the checkpoint that this one follows, whose generation_config.json is taken over."""
    folder.mkdir(parents=True, exist_ok=True)
    held = {NETWORK + name: one for name, one in weights.items()}
    if eyes is not None:
        held |= {PROJECTOR + name: one for name, one in eyes.project.state_dict().items()}
        place = folder / reference.OWN_VISION
        with quiet():
            eyes.tower.save_pretrained(place)
            eyes.processor.save_pretrained(place)
    write(folder / WEIGHTS, held)
    (folder / reference.OWN_VQ).mkdir(exist_ok=True)
    write(folder / reference.OWN_VQ / WEIGHTS, magvit.state_dict())
    tokenizer.save_pretrained(folder)
    if source is not None and (source / checkpoint.GENERATION).is_file():
        shutil.copyfile(source / checkpoint.GENERATION, folder / checkpoint.GENERATION)
    described = {**config, **sizes.described()}
    (folder / checkpoint.CONFIG).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def write(file: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """A safetensors file, of weights on any device that may share memory."""
    held, places = {}, set()
    for name, one in weights.items():
        there = one.detach().cpu().contiguous()
        held[name] = there.clone() if there.data_ptr() in places else there
        places.add(there.data_ptr())
    save_file(held, file, metadata={"format": "pt"})


def saved(folder: Path, network: PhiForCausalLM) -> dict[str, torch.Tensor]:
    """The weights of the language model that `save` wrote. Raises `UserError` where they are not those of `network`."""
    own = {NETWORK + name: (name, one.shape) for name, one in network.state_dict().items()}
    found = {name: one for name, one in _weights(folder).items() if not name.startswith(PROJECTOR)}
    wrong = sorted(own.keys() ^ found.keys()) or [name for name, one in found.items() if one.shape != own[name][1]]
    if wrong:
        raise UserError(f"model '{folder}' holds not the weights of this model, such as {wrong[0]}; give one that it saved")
    return {own[name][0]: one for name, one in found.items()}
