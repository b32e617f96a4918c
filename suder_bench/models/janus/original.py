"""DeepSeek's original layout of a Janus checkpoint (`model_type: multi_modality`), read as transformers' classes.

Janus-1.3B, Janus-Pro-1B and 7B, and everything post-trained with the authors' own code are saved so. The weights are the port's
under other names; config.json does not hold all sizes, so that those of the vision tower and of the image tokenizer are taken
from the weights' shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, JanusConfig, PreTrainedTokenizerFast
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from suder_bench.errors import UserError, unknown
from suder_bench.models import checkpoint
from suder_bench.models.reference import WORLD_MARKER

MODEL_TYPE = "multi_modality"
HEADS = {"siglip_large_patch16_384": 16, "siglip_so400m_patch14_384": 16, "siglip_so400m_patch14_224": 16}
"""Attention heads of the vision towers that the authors' code knows by name (janus/models/siglip_vit.py): the one size that no
weight's shape tells, and that their config.json leaves to the name."""

PAD = "<\uff5c\u2581pad\u2581\uff5c>"
"""What the authors' processor pads with, whatever token tokenizer_config.json names."""

_TOWER, _LAYER = r"vision_model\.vision_tower\.", r"model.vision_model.encoder.layers."
RENAMES: tuple[tuple[str, str], ...] = (
    (_TOWER + r"patch_embed\.proj\.", "model.vision_model.embeddings.patch_embedding."),
    (_TOWER + r"pos_embed$", "model.vision_model.embeddings.position_embedding.weight"),
    (_TOWER + r"blocks\.(\d+)\.norm([12])\.", _LAYER + r"\1.layer_norm\2."),
    (_TOWER + r"blocks\.(\d+)\.attn\.(q|k|v)\.", _LAYER + r"\1.self_attn.\2_proj."),
    (_TOWER + r"blocks\.(\d+)\.attn\.proj\.", _LAYER + r"\1.self_attn.projection_layer."),
    (_TOWER + r"blocks\.(\d+)\.mlp\.", _LAYER + r"\1.mlp."),
    (_TOWER + r"norm\.", "model.vision_model.post_layernorm."),
    (r"aligner\.layers\.0\.", "model.aligner.fc1."),
    (r"aligner\.layers\.2\.", "model.aligner.hidden_layers.0."),
    (r"gen_aligner\.layers\.0\.", "model.generation_aligner.fc1."),
    (r"gen_aligner\.layers\.2\.", "model.generation_aligner.hidden_layers.0."),
    (r"gen_embed\.", "model.generation_embeddings."),
    (r"gen_head\.output_mlp_projector\.", "model.generation_head.proj_out."),
    (r"gen_head\.vision_head\.", "model.generation_head.vision_head."),
    (r"gen_vision_model\.encoder\.conv_blocks\.(\d+)\.res\.", r"model.vqmodel.encoder.down.\1.block."),
    (r"gen_vision_model\.encoder\.conv_blocks\.", "model.vqmodel.encoder.down."),
    (r"gen_vision_model\.decoder\.conv_blocks\.(\d+)\.res\.", r"model.vqmodel.decoder.up.\1.block."),
    (r"gen_vision_model\.decoder\.conv_blocks\.", "model.vqmodel.decoder.up."),
    (r"gen_vision_model\.(en|de)coder\.mid\.0\.", r"model.vqmodel.\1coder.mid.block_1."),
    (r"gen_vision_model\.(en|de)coder\.mid\.1\.", r"model.vqmodel.\1coder.mid.attn_1."),
    (r"gen_vision_model\.(en|de)coder\.mid\.2\.", r"model.vqmodel.\1coder.mid.block_2."),
    (r"gen_vision_model\.", "model.vqmodel."),
    (r"language_model\.model\.", "model.language_model."),
    (r"language_model\.lm_head\.", "lm_head."),
)
"""Original name -> the port's, the first that fits at the beginning of a name."""

DROPPED = re.compile(_TOWER + r"attn_pool\.|gen_vision_model\.quantize\.codebook_used$|language_model\..*\.rotary_emb\.inv_freq$")
"""What the network does not compute with: a pooling head, a usage count, and a table that follows from the config."""


def renamed(weights: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The weights by the port's names, and for each of these the original one. The joined query, key and value matrix comes
    apart, in this order.

    Raises `UserError` for a name that the layout does not have.
    """
    found: dict[str, torch.Tensor] = {}
    origin: dict[str, str] = {}
    for name, weight in weights.items():
        for part, tensor in _apart(name, weight):
            port = port_name(part)
            found[port], origin[port] = tensor, name
    return found, origin


def _apart(name: str, weight: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    if DROPPED.match(name):
        return []
    if (joined := re.fullmatch(_TOWER + r"blocks\.\d+\.attn\.(qkv)\.(?:weight|bias)", name)) is not None:
        thirds = zip("qkv", weight.chunk(3), strict=True)
        return [(name[: joined.start(1)] + letter + name[joined.end(1) :], third) for letter, third in thirds]
    return [(name, weight[0] if name.endswith("pos_embed") else weight)]


def port_name(name: str) -> str:
    """The port's name of a weight. Raises `UserError` for a name that the layout does not have."""
    port = port_name_or(name)
    if port == name:
        raise UserError(f"'{name}' is no weight of Janus in the layout of its authors")
    return port


def port_name_or(name: str) -> str:
    """The same, or the name itself where the layout does not have it."""
    for pattern, replacement in RENAMES:
        port, found = re.subn("^" + pattern, replacement, name)
        if found:
            return port
    return name


def port_config(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], tokens: PreTrainedTokenizerFast) -> JanusConfig:
    """transformers' config of an original config.json. `shapes` are those of the weights, by the port's names.

    Raises `UserError` for a vision tower that is not known, `KeyError` or `ValueError` where config.json or the weights do not
    describe a Janus.
    """
    seen = config["vision_config"]["params"]
    width, _, patch, _ = shapes["model.vision_model.embeddings.patch_embedding.weight"]
    size = int(seen["image_size"])
    hidden = shapes["model.aligner.fc1.weight"][0]
    vision = {
        "hidden_size": width,
        "num_hidden_layers": _count(shapes, r"model\.vision_model\.encoder\.layers\.(\d+)\."),
        "num_attention_heads": _heads(seen),
        "mlp_ratio": shapes["model.vision_model.encoder.layers.0.mlp.fc1.weight"][0] / width,
        "image_size": size,
        "patch_size": patch,
        "num_image_tokens": (size // patch) ** 2,
        "projection_dim": hidden,
        "depth": int(config["aligner_config"]["params"].get("depth", 1)),
    }
    base = shapes["model.vqmodel.encoder.conv_in.weight"][0]
    levels = _count(shapes, r"model\.vqmodel\.encoder\.down\.(\d+)\.")
    quantizer = {
        "num_embeddings": shapes["model.vqmodel.quantize.embedding.weight"][0],
        "embed_dim": shapes["model.vqmodel.quantize.embedding.weight"][1],
        "latent_channels": shapes["model.vqmodel.encoder.conv_out.weight"][0],
        "base_channels": base,
        "channel_multiplier": [
            shapes[f"model.vqmodel.encoder.down.{level}.block.0.conv1.weight"][0] // base for level in range(levels)
        ],
        "num_res_blocks": _count(shapes, r"model\.vqmodel\.encoder\.down\.0\.block\.(\d+)\."),
        "projection_dim": shapes["model.generation_aligner.fc1.weight"][0],
        "num_hidden_layers": int(config["gen_aligner_config"]["params"].get("depth", 1)),
        "image_token_embed_dim": shapes["model.generation_head.proj_out.weight"][0],
    }
    told = {name: value for name, value in config["language_config"].items() if not name.startswith(("_", "torch_dtype"))}
    ids = {"bos_token_id": tokens.bos_token_id, "eos_token_id": tokens.eos_token_id, "pad_token_id": tokens.pad_token_id}
    return JanusConfig(
        text_config={**told, **ids, "model_type": "llama"},
        vision_config=vision,
        vq_config=quantizer,
        image_token_id=token_id(tokens, "image_token"),
        tie_word_embeddings=told.get("tie_word_embeddings") is True,  # a Llama's own default, and not the port's
        **({WORLD_MARKER: config[WORLD_MARKER]} if WORLD_MARKER in config else {}),
    )


def _heads(tower: Mapping[str, Any]) -> int:
    """Of a tower that the authors' code knows, by its name alone as there; any other must say them itself, as `heads`, which is
    what that code calls them."""
    name, own = tower["model_name"], tower.get("heads")
    if name in HEADS:
        return HEADS[name]
    if type(own) is not int or own < 1:
        raise unknown("vision tower without heads in vision_config.params:", str(name), HEADS)
    return own


def _count(shapes: Iterable[str], pattern: str) -> int:
    return 1 + max(int(match[1]) for name in shapes if (match := re.match(pattern, name)))


def tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of an original folder, with the names that the port gives its special tokens.

    The file is taken as it is; the class that its config names (LlamaTokenizerFast) splits words in another way, and only
    newer versions of transformers notice.
    """
    settings = checkpoint.read_json(folder / "tokenizer_config.json")
    processor = folder / "processor_config.json"
    tags = checkpoint.read_json(processor) if processor.is_file() else {}
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        padding_side="left",
        **{f"{name}_token": _content(settings.get(f"{name}_token")) for name in ("bos", "eos")},
        pad_token=tags.get("pad_tag", PAD),
        extra_special_tokens={
            "image_token": tags.get("image_tag", "<image_placeholder>"),
            "boi_token": tags.get("image_start_tag", "<begin_of_image>"),
            "eoi_token": tags.get("image_end_tag", "<end_of_image>"),
        },
    )


def token_id(tokens: PreTrainedTokenizerFast, name: str) -> int:
    """The id of a special token by the port's name for it. Raises `ValueError` where the vocabulary has none."""
    found = tokens.convert_tokens_to_ids(str(tokens.special_tokens_map[name]))
    if not isinstance(found, int):
        raise ValueError(f"the vocabulary has no {tokens.special_tokens_map[name]}")
    return found


def _content(token: str | Mapping[str, Any] | None) -> str | None:
    return token["content"] if isinstance(token, Mapping) else token


def image_processor(folder: Path) -> JanusImageProcessorPil:
    """The port's image processor with the numbers of an original preprocessor_config.json."""
    told = checkpoint.read_json(folder / "preprocessor_config.json")
    mean = told["image_mean"]
    settings: dict[str, Any] = {
        "size": {"height": told["image_size"], "width": told["image_size"]},
        "min_size": told["min_size"],
        "image_mean": mean,
        "image_std": told["image_std"],
        "background_color": [int(value * 255) for value in mean],  # as the authors' processor makes it, whatever the file says
    }
    return JanusImageProcessorPil(**settings)


def generation_config(tokens: PreTrainedTokenizerFast) -> GenerationConfig:
    """What the port's generation_config.json says and the layout does not: the ids of special tokens."""
    return GenerationConfig(
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
        generation_kwargs={"boi_token_id": token_id(tokens, "boi_token")},
    )
