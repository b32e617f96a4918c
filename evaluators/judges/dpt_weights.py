"""DPT-Hybrid as its authors published it (`dpt_hybrid-midas-501f0c75.pt`) as transformers' network, name by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges.weights import fill, read_pickled

HEADS = 12
"""Of attention: with the groups of the norms, which transformers has as timm, what no shape tells."""

_VIT, _BIT = r"pretrained\.model\.", r"pretrained\.model\.patch_embed\.backbone\."
_NAMES = (
    (rf"{_VIT}cls_token", "dpt.embeddings.cls_token"),
    (rf"{_VIT}pos_embed", "dpt.embeddings.position_embeddings"),
    (rf"{_VIT}patch_embed\.proj", "dpt.embeddings.projection"),
    (rf"{_BIT}stem\.conv", "dpt.embeddings.backbone.bit.embedder.convolution"),
    (rf"{_BIT}stem\.norm", "dpt.embeddings.backbone.bit.embedder.norm"),
    (rf"{_BIT}stages\.(\d+)\.blocks\.(\d+)", r"dpt.embeddings.backbone.bit.encoder.stages.\1.layers.\2"),
    (rf"{_VIT}blocks\.(\d+)\.norm1", r"dpt.encoder.layer.\1.layernorm_before"),
    (rf"{_VIT}blocks\.(\d+)\.norm2", r"dpt.encoder.layer.\1.layernorm_after"),
    (rf"{_VIT}blocks\.(\d+)\.attn\.proj", r"dpt.encoder.layer.\1.attention.output.dense"),
    (rf"{_VIT}blocks\.(\d+)\.mlp\.fc1", r"dpt.encoder.layer.\1.intermediate.dense"),
    (rf"{_VIT}blocks\.(\d+)\.mlp\.fc2", r"dpt.encoder.layer.\1.output.dense"),
    (rf"{_VIT}norm", "dpt.layernorm"),
    (r"pretrained\.act_postprocess([34])\.0\.project\.0", lambda m: f"neck.reassemble_stage.readout_projects.{int(m[1]) - 1}.0"),
    (r"pretrained\.act_postprocess([34])\.3", lambda m: f"neck.reassemble_stage.layers.{int(m[1]) - 1}.projection"),
    (r"pretrained\.act_postprocess([34])\.4", lambda m: f"neck.reassemble_stage.layers.{int(m[1]) - 1}.resize"),
    (r"scratch\.layer(\d)_rn", lambda m: f"neck.convs.{int(m[1]) - 1}"),
    (r"scratch\.refinenet(\d)\.out_conv", lambda m: f"neck.fusion_stage.layers.{4 - int(m[1])}.projection"),
    (
        r"scratch\.refinenet(\d)\.resConfUnit(\d)\.conv(\d)",
        lambda m: f"neck.fusion_stage.layers.{4 - int(m[1])}.residual_layer{m[2]}.convolution{m[3]}",
    ),
    (r"scratch\.output_conv\.(\d)", r"head.head.\1"),
)
"""The authors' names, which are timm's and MiDaS', and transformers'. MiDaS counts the steps of its decoder from the last."""

_QKV, _CLASSIFIER = rf"{_VIT}blocks\.(\d+)\.attn\.qkv\.(weight|bias)", rf"{_VIT}head\."


def read_checkpoint(file: Path) -> Any:
    """A `DPTForDepthEstimation` in float32 with the weights of `file`, whose shapes give the network's sizes.

    Raises `JudgeError` for a file that is no such checkpoint, naming the first weight that lacks, is unknown or has another
    shape.
    """
    from transformers import DPTForDepthEstimation

    stored = read_pickled("depth", file)
    official = stored.get("model", stored) if isinstance(stored, dict) else None
    if not isinstance(official, dict) or "pretrained.model.patch_embed.backbone.stem.conv.weight" not in official:
        raise JudgeError(
            f"judge depth: {file} is not DPT-Hybrid's checkpoint (it holds no ResNet before its transformer); run:"
            " suder-bench judges fetch depth"
        )
    state = dict(_renamed(official, file))
    with torch.device("meta"):
        model = DPTForDepthEstimation(_config(official))
    fill("depth", file, model, state)
    return model.eval().requires_grad_(False)


def _renamed(official: Mapping[str, torch.Tensor], file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in official.items():
        if found := re.fullmatch(_QKV, name):
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                yield f"dpt.encoder.layer.{found[1]}.attention.attention.{part}.{found[2]}", third.clone()
        elif not re.match(_CLASSIFIER, name):  # of the transformer when it was trained to classify
            yield _rename(name, file), tensor


def _rename(name: str, file: Path) -> str:
    for pattern, ours in _NAMES:
        found, count = re.subn(rf"^{pattern}(?=\.|$)", ours, name)
        if count:
            return found
    raise JudgeError(f"judge depth: {file} holds {name}, which DPT-Hybrid has not; wrong checkpoint")


def _config(state: Mapping[str, torch.Tensor]) -> Any:
    """The sizes of the network, read from its weights."""
    from transformers import DPTConfig

    width, channels, _, _ = state["pretrained.model.patch_embed.proj.weight"].shape
    grid = round((state["pretrained.model.pos_embed"].shape[1] - 1) ** 0.5)
    bit = "pretrained.model.patch_embed.backbone"
    stages = range(_count(state, rf"{_BIT}stages\.(\d+)\."))
    steps = [state[f"scratch.layer{step}_rn.weight"].shape for step in range(1, 5)]
    return DPTConfig(
        is_hybrid=True,
        hidden_size=width,
        num_hidden_layers=_count(state, rf"{_VIT}blocks\.(\d+)\."),
        num_attention_heads=HEADS,
        intermediate_size=state["pretrained.model.blocks.0.mlp.fc1.weight"].shape[0],
        image_size=16 * grid,
        patch_size=16,
        backbone_featmap_shape=[1, channels, grid, grid],
        backbone_config={
            "model_type": "bit",
            "layer_type": "bottleneck",
            "global_padding": "same",
            "embedding_dynamic_padding": True,
            "embedding_size": state[f"{bit}.stem.conv.weight"].shape[0],
            "hidden_sizes": [state[f"{bit}.stages.{stage}.blocks.0.conv3.weight"].shape[0] for stage in stages],
            "depths": [_count(state, rf"{_BIT}stages\.{stage}\.blocks\.(\d+)\.") for stage in stages],
            "out_features": [f"stage{stage + 1}" for stage in stages],
        },
        neck_ignore_stages=[0, 1],
        reassemble_factors=[1, 1, 1, 0.5],
        readout_type="project",
        neck_hidden_sizes=[shape[1] for shape in steps],
        fusion_hidden_size=steps[0][0],
        hidden_act="gelu",
    )


def _count(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    return 1 + max(int(found[1]) for name in state if (found := re.match(pattern, name)))
