"""Small random vision-language models for tests: transformers' own classes, byte-level tokenizers, PIL image processors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    ChameleonConfig,
    ChameleonForConditionalGeneration,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.chameleon.image_processing_pil_chameleon import ChameleonImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

CORPUS = [
    "What is in the picture? Is there a ball in the picture? Answer yes or no.",
    "a red ball left of two small blue boxes and a tall green tree USER: ASSISTANT: Describe the image.",
]
QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
INTERNVL_TEMPLATE = QWEN_TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>\n")


def tokenizer(special: list[str], *, bos: bool = False, **named: Any) -> PreTrainedTokenizerFast:
    """A byte-level BPE of some 320 tokens with <s>, </s>, <pad> and `special`; with `bos` it begins every text with <s>."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    tokens = ["<s>", "</s>", "<pad>", *special]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=tokens, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    if bos:
        made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>", **named)


def _text(words: PreTrainedTokenizerFast, kind: str, **others: Any) -> dict[str, Any]:
    return {
        "model_type": kind,
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "tie_word_embeddings": False,
    } | others


def _vision(kind: str, **others: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return {"model_type": kind, **sizes, "image_size": 28, "patch_size": 7} | others


def _saved(folder: Path, model: Any, *parts: Any) -> Path:
    """Widen the random weights, so that pictures and words make a difference, and write everything."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.25)
    model.generation_config.bos_token_id, model.generation_config.eos_token_id, model.generation_config.pad_token_id = 0, 1, 2
    for part in (model, *parts):
        part.save_pretrained(folder)
    return folder


def write_llava(folder: Path) -> Path:
    """No chat template, a tokenizer that begins every text with <s>, and the image processor's do_pad=False of LLaVA-1.5-hf."""
    words = tokenizer(["<image>"], bos=True)
    image = words.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=_vision("clip_vision_model", projection_dim=16),
        text_config=_text(words, "llama"),
        image_token_index=image,
        image_seq_length=16,
    )
    torch.manual_seed(0)
    _saved(folder, LlavaForConditionalGeneration(config))
    from transformers import LlavaProcessor

    side = {"height": 28, "width": 28}
    pixels = LlavaImageProcessorPil(size={"shortest_edge": 28}, crop_size=side, do_pad=False)
    processor = LlavaProcessor(pixels, words, 7, "default", num_additional_image_tokens=1)
    processor.save_pretrained(folder)
    return folder


def write_qwen(folder: Path) -> Path:
    special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    words = tokenizer(special)
    ids = {token: words.convert_tokens_to_ids(token) for token in special}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 7,
            "out_hidden_size": 32,
            "window_size": 28,
            "fullatt_block_indexes": [1],
        },
        text_config=_text(words, "qwen2_5_vl_text", rope_parameters=rope),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    torch.manual_seed(1)
    words.chat_template = QWEN_TEMPLATE
    pixels = Qwen2VLImageProcessorPil(patch_size=7, min_pixels=14 * 14, max_pixels=42 * 42)
    return _saved(folder, Qwen2_5_VLForConditionalGeneration(config), words, pixels)


def _write_instructblip(folder: Path, text: Mapping[str, Any], words: PreTrainedTokenizerFast) -> Path:
    query = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
    }
    reader = tokenizer([], bos=True)
    config = InstructBlipConfig(
        vision_config=_vision("instructblip_vision_model"),
        qformer_config={**query, "vocab_size": len(reader), "pad_token_id": 2},
        text_config=dict(text),
        num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    torch.manual_seed(2)
    _saved(folder, InstructBlipForConditionalGeneration(config))
    from transformers import InstructBlipProcessor

    pixels = BlipImageProcessorPil(size={"height": 28, "width": 28})
    InstructBlipProcessor(pixels, words, reader, num_query_tokens=4).save_pretrained(folder)
    return folder


def write_instructblip(folder: Path) -> Path:
    """With a decoder-only language model, as Vicuna's."""
    words = tokenizer(["<image>"], bos=True)
    return _write_instructblip(folder, _text(words, "llama"), words)


def write_instructblip_t5(folder: Path) -> Path:
    """With an encoder-decoder, as Flan-T5's."""
    words = tokenizer(["<image>"])
    text = {
        "model_type": "t5",
        "vocab_size": len(words),
        "d_model": 32,
        "d_kv": 16,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "decoder_start_token_id": 2,
        "tie_word_embeddings": False,
    }
    return _write_instructblip(folder, text, words)


def write_internvl(folder: Path) -> Path:
    special = ["<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    words = tokenizer(special, extra_special_tokens={**named, "video_token": "<video>"})
    config = InternVLConfig(
        vision_config=_vision("internvl_vision", image_size=[28, 28], patch_size=[7, 7]),
        text_config=_text(words, "qwen2"),
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    torch.manual_seed(3)
    words.chat_template = INTERNVL_TEMPLATE
    pixels = GotOcr2ImageProcessorPil(size={"height": 28, "width": 28}, min_patches=1, max_patches=3)
    _saved(folder, InternVLForConditionalGeneration(config), words, pixels)
    (folder / "processor_config.json").write_text('{"processor_class": "InternVLProcessor", "image_seq_length": 4}')
    return folder


def write_chameleon(folder: Path) -> Path:
    codes = [f"IMGIMG{chr(ord('A') + i // 10)}{chr(ord('A') + i % 10)}Z" for i in range(16)]
    words = tokenizer(["<image>", "<racm3:break>", "<eoss>", "<reserved08706>", *codes], bos=True, sep_token="<reserved08706>")
    config = ChameleonConfig(
        **_text(words, "chameleon"),
        vocabulary_map={token: words.convert_tokens_to_ids(token) for token in ("<image>", *codes)},
        vq_config={
            "embed_dim": 8,
            "num_embeddings": 16,
            "latent_channels": 32,
            "resolution": 32,
            "base_channels": 32,
            "channel_multiplier": [1, 1, 1, 1],
            "num_res_blocks": 1,
        },
    )
    torch.manual_seed(4)
    _saved(folder, ChameleonForConditionalGeneration(config))
    from transformers import ChameleonProcessor

    pixels = ChameleonImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    ChameleonProcessor(pixels, words, image_seq_length=16).save_pretrained(folder)
    return folder


WRITERS: Mapping[str, Callable[[Path], Path]] = {
    "llava": write_llava,
    "qwen2_5_vl": write_qwen,
    "instructblip": write_instructblip,
    "instructblip_t5": write_instructblip_t5,
    "internvl": write_internvl,
    "chameleon": write_chameleon,
}
