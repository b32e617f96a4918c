"""What transformers' models say of one question without this suite: no batch, no padding, ids and positions made by hand.

Each function returns the logits, (answer ids + 1, vocabulary), that follow the prompt and each of `answer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    ChameleonForConditionalGeneration,
    ChameleonProcessor,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    InternVLForConditionalGeneration,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2_5_VLForConditionalGeneration,
)


def llava(folder: Path, image: Image.Image, question: str, answer: Sequence[int]) -> torch.Tensor:
    processor = LlavaProcessor.from_pretrained(folder)
    processor.image_processor.do_pad = True
    made = processor(images=image, text=f"USER: <image>\n{question} ASSISTANT:", return_tensors="pt")
    ids = _followed(made["input_ids"], answer)
    logits = LlavaForConditionalGeneration.from_pretrained(folder)(input_ids=ids, pixel_values=made["pixel_values"]).logits
    return logits[0, -len(answer) - 1 :]


def qwen(folder: Path, image: Image.Image, question: str, answer: Sequence[int]) -> torch.Tensor:
    words = AutoTokenizer.from_pretrained(folder)
    made = AutoImageProcessor.from_pretrained(folder, backend="pil")(images=image, return_tensors="pt")
    _, high, wide = made["image_grid_thw"][0].tolist()
    high, wide = high // 2, wide // 2
    before = words.encode("<|im_start|>user\n<|vision_start|>")
    behind = [*words.encode(f"<|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"), *answer]
    ids = [*before, *[words.convert_tokens_to_ids("<|image_pad|>")] * (high * wide), *behind]
    first = len(before)
    grid = [[first, first + i, first + j] for i in range(high) for j in range(wide)]
    last = first + max(high, wide)
    places = [[k] * 3 for k in range(first)] + grid + [[last + k] * 3 for k in range(len(behind))]
    positions = torch.tensor(places).T[:, None]
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    shown = {"pixel_values": made["pixel_values"], "image_grid_thw": made["image_grid_thw"]}
    return model(input_ids=torch.tensor([ids]), position_ids=positions, **shown).logits[0, -len(answer) - 1 :]


def instructblip(folder: Path, image: Image.Image, question: str, answer: Sequence[int]) -> torch.Tensor:
    made = InstructBlipProcessor.from_pretrained(folder)(images=image, text=question, return_tensors="pt")
    made["input_ids"] = _followed(made["input_ids"], answer)
    made["attention_mask"] = torch.ones_like(made["input_ids"])
    return InstructBlipForConditionalGeneration.from_pretrained(folder)(**made).logits[0, -len(answer) - 1 :]


def instructblip_t5(folder: Path, image: Image.Image, question: str, answer: Sequence[int]) -> torch.Tensor:
    made = InstructBlipProcessor.from_pretrained(folder)(images=image, text=question, return_tensors="pt")
    model = InstructBlipForConditionalGeneration.from_pretrained(folder)
    start = model.config.text_config.decoder_start_token_id
    return model(**made, decoder_input_ids=torch.tensor([[start, *answer]])).logits[0]


def internvl(folder: Path, image: Image.Image, question: str, answer: Sequence[int]) -> torch.Tensor:
    words = AutoTokenizer.from_pretrained(folder)
    tiles = AutoImageProcessor.from_pretrained(folder, backend="pil")(images=image, crop_to_patches=True, return_tensors="pt")
    block = "<img>" + "<IMG_CONTEXT>" * 4 * int(tiles["num_patches"][0]) + "</img>"
    ids = words.encode(f"<|im_start|>user\n{block}\n{question}<|im_end|>\n<|im_start|>assistant\n")
    model = InternVLForConditionalGeneration.from_pretrained(folder)
    return model(input_ids=torch.tensor([[*ids, *answer]]), pixel_values=tiles["pixel_values"]).logits[0, -len(answer) - 1 :]


def chameleon(folder: Path, image: Image.Image, question: str, answer: Sequence[int]) -> torch.Tensor:
    """From the hidden states, with the image tokens left out of the vocabulary."""
    made = ChameleonProcessor.from_pretrained(folder)(images=image, text=f"<image>{question}", return_tensors="pt")
    model = ChameleonForConditionalGeneration.from_pretrained(folder)
    ids = _followed(made["input_ids"], answer)
    hidden = model.model(input_ids=ids, pixel_values=made["pixel_values"]).last_hidden_state
    logits = model.lm_head(hidden)[0, -len(answer) - 1 :]
    codes = [token for name, token in model.config.vocabulary_map.items() if name.startswith("IMGIMG")]
    return logits.index_fill(1, torch.tensor(codes), -torch.inf)


PLAIN: Mapping[str, Callable[[Path, Image.Image, str, Sequence[int]], torch.Tensor]] = {
    "llava": llava,
    "qwen2_5_vl": qwen,
    "instructblip": instructblip,
    "instructblip_t5": instructblip_t5,
    "internvl": internvl,
    "chameleon": chameleon,
}


@torch.no_grad()
def logprobs(family: str, folder: Path, image: Image.Image, question: str, answer: Sequence[int]) -> torch.Tensor:
    """log p of each id of an answer, (answer ids,)."""
    logits = PLAIN[family](folder, image, question, list(answer)[:-1])
    return torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(list(answer))[:, None])[:, 0]


@torch.no_grad()
def greedy(family: str, folder: Path, image: Image.Image, question: str, tokens: int) -> list[int]:
    """The likeliest ids one after the other, until the end token 1 or so many."""
    ids: list[int] = []
    while len(ids) < tokens:
        ids.append(int(PLAIN[family](folder, image, question, ids)[-1].argmax()))
        if ids[-1] == 1:
            return ids[:-1]
    return ids


def _followed(ids: Any, answer: Sequence[int]) -> torch.Tensor:
    return torch.cat([ids, torch.tensor([list(answer)], dtype=torch.long)], dim=1)
