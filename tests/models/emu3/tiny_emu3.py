"""A small random Emu3 for tests: the real classes, a byte-level tokenizer, 64 codes, pictures of 8 pixels a code."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from models.tiny import CORPUS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Emu3Config,
    Emu3ForConditionalGeneration,
    Emu3ImageProcessor,
    Emu3Processor,
    PreTrainedTokenizerFast,
)

CODES = 64
FRAME = ["<|extra_203|>", "<|extra_204|>", "<|endoftext|>", "<image>", "<|image start|>", "<|image end|>", "<|image token|>"]
LINES = ["<|extra_201|>", "<|extra_200|>"]
VISUAL = [f"<|visual token {code:06d}|>" for code in range(CODES)]
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] + ' ' }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE whose visual tokens lie between text and frame, in another order than their codes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300 + len(VISUAL),
        special_tokens=[*FRAME[:3], *reversed(VISUAL), *FRAME[3:], *LINES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    named = dict(zip(["image_token", "boi_token", "eoi_token", "image_wrapper_token"], FRAME[3:], strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        padding_side="left",
        bos_token=FRAME[0],
        eos_token=FRAME[1],
        pad_token=FRAME[2],
        extra_special_tokens={**named, "eof_token": LINES[0]},
    )


def tiny_processor(*, template: str | None = TEMPLATE) -> Emu3Processor:
    """Pictures are read at 32 x 32 to 48 x 48 pixels."""
    return Emu3Processor(Emu3ImageProcessor(min_pixels=32 * 32, max_pixels=48 * 48), tiny_tokenizer(), chat_template=template)


def tiny_model(*, seed: int = 0, positions: int = 1024) -> Emu3ForConditionalGeneration:
    """Random weights from `seed`, wide enough that prompts, pictures and samples make a difference."""
    vocabulary = tiny_tokenizer().get_vocab()
    text = {
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": positions,
        "bos_token_id": vocabulary[FRAME[0]],
        "eos_token_id": vocabulary[FRAME[1]],
        "pad_token_id": vocabulary[FRAME[2]],
    }
    quantizer = {
        "codebook_size": CODES,
        "base_channels": 32,
        "channel_multiplier": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "temporal_downsample_factor": 2,
        "attn_resolutions": [3],
        "hidden_size": 32,
    }
    named = {name: vocabulary[name] for name in [*VISUAL, "<image>", "<|extra_200|>"]}
    torch.manual_seed(seed)
    model = Emu3ForConditionalGeneration(Emu3Config(text_config=text, vq_config=quantizer, vocabulary_map=named)).eval()
    with torch.no_grad():
        for part in (model.model.text_model, model.lm_head):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0.0, 0.3)
        model.model.vqmodel.quantize.embedding.weight.normal_(0.0, 1.0)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.generation_config, name, text[name])
    return model


def write_checkpoint(folder: Path, *, seed: int = 0, template: str | None = TEMPLATE) -> Path:
    """A whole checkpoint as `save_pretrained` writes it."""
    tiny_model(seed=seed).save_pretrained(folder)
    tiny_processor(template=template).save_pretrained(folder)
    return folder
