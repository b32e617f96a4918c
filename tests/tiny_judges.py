"""The networks of the judges in small, with random weights, saved to folders as their owners would save them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import unidet_weights
from PIL import Image
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForQuestionAnswering,
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    DPTConfig,
    DPTForDepthEstimation,
    Owlv2Config,
    Owlv2ForObjectDetection,
)

from suder_bench.evaluators.judges.manifest import Weight, digest
from suder_bench.evaluators.judges.unidet.network import CONFIGURATIONS, Network


def manifest(role: str, file: Path, **changes: object) -> tuple[Weight, ...]:
    """A manifest in which a file is the official one of a role, unless `changes` say otherwise."""
    known = {"bytes": None, "about": 0, "sha256": digest(file), "same": "", "whence": "made here", "name": file.name}
    described = {"network": "tiny", "folder": "", "url": "https://owner.example/w", "licence": "MIT"}
    return (Weight(roles=role, **(described | known | changes)),)  # type: ignore[arg-type]


HERE = {"device": "cpu", "dtype": "auto", "offline": True}
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "yes",
    "no",
    "a",
    "red",
    "blue",
    "ball",
    "?",
    "is",
    "the",
    "picture",
    "dog",
]
LETTERS = [chr(code) for code in range(97, 123)] + ["-", "?", "."]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture of soft coloured blots."""
    values = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def randomise(model: torch.nn.Module, seed: int = 0, std: float = 0.3) -> torch.nn.Module:
    """Weights large enough that outputs differ between inputs; those of norms are around 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            scale = "norm" in name.lower() or "ln_" in name
            weight.normal_(float(scale and name.endswith("weight")), std, generator=generator)
    return model.eval()


def blip(folder: Path, *, width: int = 32, layers: int = 2, heads: int = 4, side: int = 64, patch: int = 32) -> Path:
    """BLIP VQA for the words above."""
    small = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers, "num_attention_heads": heads}
    text = small | {
        "vocab_size": len(WORDS) + 2,
        "bos_token_id": len(WORDS),
        "sep_token_id": 3,
        "pad_token_id": 0,
        "encoder_hidden_size": width,
        "max_position_embeddings": 40,
    }
    config = BlipConfig(text_config=text, vision_config=small | {"image_size": side, "patch_size": patch}, projection_dim=8)
    randomise(BlipForQuestionAnswering(config), std=0.3 if width < 64 else 0.02).save_pretrained(folder)
    folder.joinpath("vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    """CLIP that spells its texts."""
    vocabulary = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": len(vocabulary) - 2, "eos_token_id": len(vocabulary) - 1, "pad_token_id": len(vocabulary) - 1}
    config = CLIPConfig(
        text_config=small | {"vocab_size": len(vocabulary), "max_position_embeddings": 77} | ends,
        vision_config=small | {"image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    randomise(CLIPModel(config)).save_pretrained(folder)
    folder.joinpath("vocab.json").write_text(json.dumps({word: place for place, word in enumerate(vocabulary)}))
    folder.joinpath("merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    return folder


def dpt(folder: Path) -> Path:
    """DPT-Hybrid, whose last bias keeps its depth above 0."""
    torch.manual_seed(0)
    backbone = {
        "model_type": "bit",
        "embedding_size": 16,
        "hidden_sizes": [8, 16, 16],
        "depths": [1, 1, 1],
        "num_groups": 4,
        "layer_type": "bottleneck",
        "global_padding": "same",
        "embedding_dynamic_padding": True,
        "out_features": ["stage1", "stage2", "stage3"],
    }
    config = DPTConfig(
        is_hybrid=True,
        backbone_config=backbone,
        backbone_featmap_shape=[1, 16, 4, 4],
        image_size=64,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_ignore_stages=[0, 1],
        reassemble_factors=[1, 1, 1, 0.5],
        neck_hidden_sizes=[8, 16, 16, 16],
        fusion_hidden_size=8,
        readout_type="project",
        hidden_act="gelu",
    )
    model = DPTForDepthEstimation(config)
    torch.nn.init.constant_(model.head.head[-2].bias, 5.0)
    model.save_pretrained(folder)
    return folder


def unidet_tensors(name: str) -> dict[str, torch.Tensor]:
    """Those of "r50" or "rs200" in full size, since UniDet's files come in no other."""
    with torch.device("meta"):
        shapes = {key: tuple(own.shape) for key, own in Network(CONFIGURATIONS[name]).state_dict().items()}
    return {key: torch.from_numpy(unidet_weights.values(key, shape)) for key, shape in shapes.items()}


def owl(folder: Path) -> Path:
    """OWLv2 that spells its texts, with pictures of 64 x 64 in 16 patches."""
    vocabulary = ["!", *LETTERS, *(letter + "</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": len(vocabulary) - 2, "eos_token_id": len(vocabulary) - 1, "pad_token_id": 0}
    config = Owlv2Config(
        text_config=small | {"vocab_size": len(vocabulary), "max_position_embeddings": 32} | ends,
        vision_config=small | {"image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    randomise(Owlv2ForObjectDetection(config)).save_pretrained(folder)
    folder.joinpath("vocab.json").write_text(json.dumps({word: place for place, word in enumerate(vocabulary)}))
    folder.joinpath("merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token="!").save_pretrained(folder)
    return folder
