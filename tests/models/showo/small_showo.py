"""A small Show-o for tests, with weights by formula or at random."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import torch
from models.tiny import CORPUS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import PhiForCausalLM, PreTrainedTokenizerFast

from suder_bench.models.showo.layout import Ids
from suder_bench.models.showo.magvit import Magvit
from suder_bench.models.showo.model import ShowoModel
from suder_bench.models.showo.sizes import MagvitSizes, ShowoSizes

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))

PHI = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
}
SMALL_MAGVIT = MagvitSizes((8, 16, 16), (1, 1, 1), (8, 16, 16), (1, 1, 1), bits=6, groups=4)
SIZES = ShowoSizes(510, 16, 16, PHI, SMALL_MAGVIT)
"""Those of the golden numbers of the language model."""

IDS = Ids.of(SIZES, end=509)


def by_formula(module: nn.Module, scale: float) -> None:
    """Weights that anybody can make anew: see golden.json."""
    with torch.no_grad():
        for i, (name, weight) in enumerate(sorted(module.named_parameters())):
            s = scale * math.sqrt(3 * weight.shape[0] / weight.numel()) if weight.dim() >= 2 else 0.1
            values = s * torch.sin(0.7 * torch.arange(weight.numel(), dtype=torch.float64) + i)
            if "norm" in name and name.endswith("weight"):
                values += 1
            weight.copy_(values.view(weight.shape))
    module.eval()


@cache
def golden_phi() -> PhiForCausalLM:
    model = PhiForCausalLM(SIZES.phi_config())
    by_formula(model, 2.5)
    return model


def letters(text: str) -> list[int]:
    """The golden file's tokenizer."""
    return [7 * ord(letter) % 499 for letter in text]


TEXT = 300
FOLDER_SIZES = ShowoSizes(TEXT, 16, 24, PHI, SMALL_MAGVIT)
"""Those of `write_folder`: pictures of 16 pixels."""


@cache
def small_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 300 ids, none of them Show-o's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TEXT,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def small_model(*, seed: int = 0, sizes: ShowoSizes = FOLDER_SIZES, **others: Any) -> ShowoModel:
    """A random one in memory."""
    torch.manual_seed(seed)
    network = PhiForCausalLM(sizes.phi_config()).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    magvit = Magvit(sizes.magvit).eval().requires_grad_(False)
    return ShowoModel(network, magvit, small_tokenizer(), sizes, **others)


def write_folder(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """A random checkpoint in the authors' layout, whole in itself; `config` are further keys of config.json."""
    made = small_model(seed=seed, config=config)
    made.save(folder, made.network.state_dict())
    return folder
