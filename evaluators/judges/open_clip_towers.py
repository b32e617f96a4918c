"""CLIP through open-clip-torch, the package that GenEval's own script uses: the back-end `open-clip` of the roles color and clip.

`--judge color=open-clip` takes OpenAI's weights as the package finds them, `open-clip:FILE` a checkpoint of the benchmark's
own CLIP, `open-clip:FOLDER` a model in the package's format (`open_clip_config.json` and its weights).
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from suder_bench.benchmark import Match
from suder_bench.errors import JudgeError, install
from suder_bench.evaluators.judges import manifest as manifests
from suder_bench.evaluators.judges.clip import BATCH, ClipColors, ClipSimilarity, Shape, too_long, unit
from suder_bench.evaluators.judges.manifest import Manifest
from suder_bench.evaluators.judges.protocols import Picture
from suder_bench.evaluators.judges.weights import Place, chunks, prepared
from suder_bench.imports import torchvision_cure, torchvision_trouble

HEAD_WIDTH = 64
"""Of a picture tower's attention, unless a configuration says otherwise."""

MODELS = {"color": "ViT-L-14", "clip": "ViT-B-32"}
OPENAI = "openai"


def load(
    role: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
    source: str | None = None,
    manifest: Manifest | None = None,
) -> ClipColors | ClipSimilarity:
    """The judge of a role. Raises `JudgeError` where the package or the weights are missing, or are another network's."""
    towers = OpenClipTowers.load(role, source, device=device, dtype=dtype, offline=offline, manifest=manifest)
    return ClipColors(towers) if role == "color" else ClipSimilarity(towers)


class OpenClipTowers:
    """Implements `Towers` with the package's own preprocessing, tokenizer and networks."""

    library = "open-clip"

    def __init__(self, model: Any, prepare: Any, tokenizer: Any, shape: Shape, match: Match, place: Place) -> None:
        self.shape, self.match = shape, match
        self.fingerprint = place.fingerprint(model)
        self._model, self._prepare, self._tokenizer, self._place = place.put(model), prepare, tokenizer, place

    @classmethod
    def load(
        cls, role: str, source: str | None, *, device: str, dtype: str, offline: bool, manifest: Manifest | None = None
    ) -> Self:
        open_clip = _package(role)
        name, weights, config = _which(open_clip, role, source, offline=offline)
        quick = name == MODELS[role] or bool(config.get("quick_gelu"))
        try:
            model, prepare = open_clip.create_model_from_pretrained(name, pretrained=weights, force_quick_gelu=quick)
            tokenizer = open_clip.get_tokenizer(name)
        except Exception as error:  # the package and the hub's client raise a dozen kinds
            raise JudgeError(f"judge {role}: {source or weights}: {_one_line(error)}; {_way(role)}") from error
        vision = config["vision_cfg"]
        sizes = (vision["patch_size"], vision["image_size"], vision["width"], vision["layers"])
        heads = (vision["width"] // vision.get("head_width", HEAD_WIDTH), config["text_cfg"]["heads"])
        shape = Shape(*sizes, *heads, config["embed_dim"], quick)
        place = Place.choose(device, dtype, half_on_cuda=True)
        match = manifests.match(role, _file(open_clip, name, weights), manifest)
        return cls(model.eval().requires_grad_(False), prepare, tokenizer, shape, match, place)

    @torch.inference_mode()
    def see(self, pictures: Sequence[Picture]) -> torch.Tensor:
        found = []
        for _, values in prepared(pictures, self._prepare, BATCH):
            with self._place.precision():
                found.append(self._model.encode_image(values.to(self._place.device)))
        return unit(torch.cat(found))

    def refuse_long(self, texts: Sequence[str]) -> None:
        limit = self._tokenizer.context_length
        for text in texts:
            if len(self._tokenizer.encode(text)) + 2 > limit:
                raise too_long(text, limit)

    @torch.inference_mode()
    def read(self, texts: Sequence[str], *, cut: bool = False) -> torch.Tensor:
        if not cut:  # the package would cut silently
            self.refuse_long(texts)
        found = []
        for chunk in chunks(texts, BATCH):
            with self._place.precision():
                found.append(self._model.encode_text(self._tokenizer(list(chunk)).to(self._place.device)))
        return unit(torch.cat(found))


def _package(role: str) -> Any:
    try:
        return importlib.import_module("open_clip")
    except Exception as error:  # a torchvision of another build raises what it likes
        trouble = torchvision_trouble()
        if trouble is not None:
            raise JudgeError(
                f"judge {role}: open-clip-torch needs torchvision, which cannot be imported ({trouble}); run:"
                f" {torchvision_cure()}, or use --judge {role}=official"
            ) from error
        if not isinstance(error, ImportError):
            raise
        raise JudgeError(f"judge {role}: open-clip-torch is not installed; run: {install('clip')}") from error


def _which(open_clip: Any, role: str, source: str | None, *, offline: bool) -> tuple[str, str | None, Mapping[str, Any]]:
    """(the package's name of the model, its weights, its configuration)."""
    name = MODELS[role]
    if source is None:
        if offline and not open_clip.get_pretrained_cfg(name, OPENAI).get("hf_hub"):
            raise JudgeError(f"judge {role}: this open-clip-torch fetches OpenAI's weights anew, and --offline forbids it")
        return name, OPENAI, open_clip.get_model_config(name)
    path = Path(os.path.expanduser(source))
    if path.is_file():
        return name, str(path), open_clip.get_model_config(name)
    if not path.is_dir():
        raise JudgeError(f"judge {role}: there is no file or folder {source}")
    try:
        config = json.loads((path / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    except (OSError, ValueError, KeyError) as error:
        raise JudgeError(f"judge {role}: {source} is not a folder in open-clip-torch's format ({_one_line(error)})") from error
    if {"hf_model_name", "hf_tokenizer_name", "timm_model_name"} & {*config["vision_cfg"], *config["text_cfg"]}:
        raise JudgeError(f"judge {role}: {source} is not a CLIP of OpenAI's kind, the only one whose towers are known here")
    return f"local-dir:{path}", None, config


def _file(open_clip: Any, name: str, weights: str | None) -> Path | None:
    """The file that the package read the weights from: its own download of OpenAI's, or a file or folder of the user's."""
    if weights == OPENAI:
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(name, OPENAI)))
    if weights is not None:
        return Path(weights)
    held = [file for file in Path(name.partition(":")[2]).iterdir() if file.suffix in (".bin", ".safetensors", ".pt", ".pth")]
    return held[0] if len(held) == 1 else None


def _way(role: str) -> str:
    return f"fetch the weights where there is a network and give --judge {role}=open-clip:FILE, or use {role}=official"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
