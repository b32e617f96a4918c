"""Writes a Janus of transformers' classes as its authors' own code would have saved it: names, files, settings of that layout."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, JanusForConditionalGeneration, PreTrainedTokenizerFast

TOWER = "vision_model.vision_tower."
NAMES = {
    r"model\.vision_model\.embeddings\.patch_embedding": TOWER + "patch_embed.proj",
    r"model\.vision_model\.post_layernorm": TOWER + "norm",
    r"model\.vision_model\.encoder\.layers\.(\d+)\.layer_norm": TOWER + r"blocks.\1.norm",
    r"model\.vision_model\.encoder\.layers\.(\d+)\.self_attn\.projection_layer": TOWER + r"blocks.\1.attn.proj",
    r"model\.vision_model\.encoder\.layers\.(\d+)\.mlp": TOWER + r"blocks.\1.mlp",
    r"model\.aligner\.fc1": "aligner.layers.0",
    r"model\.aligner\.hidden_layers\.0": "aligner.layers.2",
    r"model\.generation_aligner\.fc1": "gen_aligner.layers.0",
    r"model\.generation_aligner\.hidden_layers\.0": "gen_aligner.layers.2",
    r"model\.generation_embeddings": "gen_embed",
    r"model\.generation_head\.proj_out": "gen_head.output_mlp_projector",
    r"model\.generation_head\.vision_head": "gen_head.vision_head",
    r"model\.vqmodel\.encoder\.down\.(\d+)\.block": r"gen_vision_model.encoder.conv_blocks.\1.res",
    r"model\.vqmodel\.encoder\.down": "gen_vision_model.encoder.conv_blocks",
    r"model\.vqmodel\.decoder\.up\.(\d+)\.block": r"gen_vision_model.decoder.conv_blocks.\1.res",
    r"model\.vqmodel\.decoder\.up": "gen_vision_model.decoder.conv_blocks",
    r"model\.vqmodel\.(..)coder\.mid\.block_1": r"gen_vision_model.\1coder.mid.0",
    r"model\.vqmodel\.(..)coder\.mid\.attn_1": r"gen_vision_model.\1coder.mid.1",
    r"model\.vqmodel\.(..)coder\.mid\.block_2": r"gen_vision_model.\1coder.mid.2",
    r"model\.vqmodel": "gen_vision_model",
    r"model\.language_model": "language_model.model",
    r"lm_head": "language_model.lm_head",
}


def weights(model: JanusForConditionalGeneration) -> dict[str, torch.Tensor]:
    """The weights by their original names, with what the port leaves out: a pooling head and the codebook's usage."""
    state = model.state_dict()
    found: dict[str, torch.Tensor] = {}
    for name, weight in state.items():
        if name == "model.vision_model.embeddings.position_embedding.weight":
            found[TOWER + "pos_embed"] = weight[None].clone()
        elif part := re.fullmatch(r"(model\.vision_model\.encoder\.layers\.(\d+)\.self_attn)\.q_proj\.(\w+)", name):
            joined = torch.cat([state[f"{part[1]}.{which}_proj.{part[3]}"] for which in "qkv"])
            found[f"{TOWER}blocks.{part[2]}.attn.qkv.{part[3]}"] = joined
        elif not re.search(r"vision_model\..*\.[kv]_proj\.", name):
            original, count = name, 0
            for pattern, replacement in NAMES.items():
                original, count = re.subn("^" + pattern, replacement, name)
                if count:
                    break
            assert count, name
            found[original] = weight.clone()
    width = found[TOWER + "norm.weight"].shape[0]
    found[TOWER + "attn_pool.latent"] = torch.zeros(1, 1, width)
    found[TOWER + "attn_pool.kv.weight"] = torch.zeros(2 * width, width)
    found["gen_vision_model.quantize.codebook_used"] = torch.zeros(65536)
    return found


def config(model: JanusForConditionalGeneration) -> dict[str, object]:
    """config.json of that layout: the sizes of the vision tower and of the image tokenizer are not in it, but for the heads of a
    tower that the authors' code does not know by name."""
    text, vision, vq = model.config.text_config, model.config.vision_config, model.config.vq_config
    hidden = text.hidden_size
    told = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    heads = vision.num_attention_heads
    tower = {"model_name": "siglip_large_patch16_384"} if heads == 16 else {"model_name": "siglip_of_its_own", "heads": heads}
    aligner = {"depth": 2, "n_embed": hidden, "projector_type": "mlp_gelu"}
    return {
        "architectures": ["MultiModalityCausalLM"],
        "model_type": "multi_modality",
        "vision_config": {
            "cls": "CLIPVisionTower",
            "model_type": "vision",
            "params": {
                "image_size": vision.image_size,
                **tower,
                "select_feature": "same",
                "select_layer": -1,
            },
        },
        "aligner_config": {"cls": "MlpProjector", "params": {**aligner, "input_dim": vision.hidden_size}},
        "gen_vision_config": {"cls": "VQ-16", "params": {"image_token_size": vq.num_embeddings, "n_embed": vq.embed_dim}},
        "gen_aligner_config": {"cls": "MlpProjector", "params": {**aligner, "input_dim": vq.embed_dim}},
        "gen_head_config": {
            "cls": "vision_head",
            "params": {"image_token_embed": hidden, "image_token_size": vq.num_embeddings, "n_embed": hidden},
        },
        "language_config": {
            "model_type": "llama",
            "torch_dtype": "bfloat16",
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.max_position_embeddings,
            "rope_theta": text.rope_parameters["rope_theta"],
            "rms_norm_eps": text.rms_norm_eps,
            **{name: getattr(text, name) for name in told},
        },
    }


def write_settings(folder: Path, model: JanusForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, min_size: int) -> None:
    """Everything but the weights."""
    tokenizer.save_pretrained(folder)
    named = tokenizer.special_tokens_map
    files: Mapping[str, Mapping[str, object]] = {
        "config.json": config(model),
        "tokenizer_config.json": {
            "tokenizer_class": "LlamaTokenizerFast",
            "bos_token": {"__type": "AddedToken", "content": named["bos_token"]},
            "eos_token": named["eos_token"],
            "pad_token": None,
        },
        "processor_config.json": {
            "processor_class": "VLChatProcessor",
            "image_tag": named["image_token"],
            "image_start_tag": named["boi_token"],
            "image_end_tag": named["eoi_token"],
            "pad_tag": named["pad_token"],
            "num_image_tokens": model.model.vision_model.config.num_image_tokens,
            "sft_format": "deepseek",
        },
        "preprocessor_config.json": {
            "image_processor_type": "VLMImageProcessor",
            "image_size": model.config.vision_config.image_size,
            "min_size": min_size,
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def write(
    folder: Path,
    model: JanusForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    *,
    kind: str = "bin",
    shards: int = 1,
    min_size: int = 4,
) -> Path:
    """A whole checkpoint; `kind` is bin (`pytorch_model.bin`) or safetensors, in one file or in shards with their index.
    `min_size` is the image processor's, in pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    write_settings(folder, model, tokenizer, min_size)
    named = weights(model)
    stem, save = ("pytorch_model", torch.save) if kind == "bin" else ("model", save_file)
    if shards == 1:
        save(named, folder / f"{stem}.{kind}")
        return folder
    weight_map = {}
    for shard in range(shards):
        file = f"{stem}-{shard + 1:05d}-of-{shards:05d}.{kind}"
        part = dict(list(named.items())[shard::shards])
        save(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    total = sum(weight.numel() * weight.element_size() for weight in named.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / f"{stem}.{kind}.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def copy(source: Path, folder: Path) -> Path:
    """The checkpoint `source`, which is in transformers' layout, in the authors'."""
    model = JanusForConditionalGeneration.from_pretrained(source, dtype="auto")
    min_size = json.loads((source / "preprocessor_config.json").read_text(encoding="utf-8"))["min_size"]
    write(folder, model, AutoTokenizer.from_pretrained(source), min_size=min_size)
    told = json.loads((source / "config.json").read_text(encoding="utf-8"))
    if "suder_bench_world" in told:
        marked = {**config(model), "suder_bench_world": told["suder_bench_world"]}
        (folder / "config.json").write_text(json.dumps(marked), encoding="utf-8")
    shutil.copyfile(source / "generation_config.json", folder / "generation_config.json")
    return folder
