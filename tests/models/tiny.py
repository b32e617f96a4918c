"""A small random Janus for tests: the real classes, a byte-level tokenizer, the PIL image processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import JanusConfig, JanusForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

SPECIAL = ["<bos>", "<eos>", "<pad>", "<image_placeholder>", "<begin_of_image>", "<end_of_image>", "<|User|>", "<|Assistant|>"]
CORPUS = [
    "a photo of a red ball left of two blue boxes",
    "Describe the image. Is there a star in the picture? yes no",
    "three striped hearts and a small green cup behind a tall yellow tree",
]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 320 tokens, padding on the left."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        padding_side="left",
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        extra_special_tokens={
            "image_token": "<image_placeholder>",
            "boi_token": "<begin_of_image>",
            "eoi_token": "<end_of_image>",
            "user_token": "<|User|>",
            "assistant_token": "<|Assistant|>",
        },
    )


def tiny_image_processor(image_size: int = 32) -> JanusImageProcessorPil:
    return JanusImageProcessorPil(
        size={"height": image_size, "width": image_size}, min_size=4, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def tiny_janus_model(
    *,
    hidden: int = 32,
    layers: int = 2,
    heads: int = 2,
    image_size: int = 32,
    codes: int = 64,
    seed: int = 0,
    vision_heads: int = 2,
    intermediate: int | None = None,
) -> JanusForConditionalGeneration:
    """Random weights from `seed`, wide enough that prompts, pictures and samples make a difference."""
    tokenizer = tiny_tokenizer()
    patches = (image_size // 8) ** 2
    vision = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": vision_heads,
        "image_size": image_size,
        "patch_size": 8,
        "num_image_tokens": patches,
        "projection_dim": hidden,
        "mlp_ratio": 2.0,
    }
    quantizer = {
        "embed_dim": 8,
        "num_embeddings": codes,
        "latent_channels": 32,
        "base_channels": 32,
        "channel_multiplier": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "projection_dim": hidden,
        "image_token_embed_dim": hidden,
    }
    text = {
        "model_type": "llama",
        "vocab_size": len(tokenizer),
        "hidden_size": hidden,
        "intermediate_size": intermediate or 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": 1024,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = JanusConfig(
        text_config=text,
        vision_config=vision,
        vq_config=quantizer,
        image_token_id=tokenizer.convert_tokens_to_ids("<image_placeholder>"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = JanusForConditionalGeneration(config).eval()
    with torch.no_grad():
        for part in (model.model.language_model, model.lm_head, model.model.generation_head, model.model.generation_aligner):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0.0, 0.3)
        model.model.generation_embeddings.weight.normal_(0.0, 1.0)
        model.model.vqmodel.quantize.embedding.weight.normal_(0.0, 1.0)
    generation = model.generation_config
    generation.bos_token_id = tokenizer.bos_token_id
    generation.eos_token_id = tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    generation.generation_kwargs = {"boi_token_id": tokenizer.convert_tokens_to_ids("<begin_of_image>")}
    return model


def write_checkpoint(folder: Path, *, shards: str | None = None, **sizes: int) -> Path:
    """A whole checkpoint in `folder`, in 16 bits as the shipped one is; `shards` is the largest size of one, as "100KB"."""
    limit = {} if shards is None else {"max_shard_size": shards}
    tiny_janus_model(**sizes).to(torch.bfloat16).save_pretrained(folder, **limit)
    tiny_tokenizer().save_pretrained(folder)
    tiny_image_processor().save_pretrained(folder)
    return folder


def edit_json(file: Path, **changes: Any) -> None:
    """Put `changes` over what a JSON file holds, one level deep; a value of None takes a key out."""
    content = json.loads(file.read_text())
    for key, value in changes.items():
        if isinstance(value, dict):
            content[key].update(value)
        elif value is None:
            del content[key]
        else:
            content[key] = value
    file.write_text(json.dumps(content))
