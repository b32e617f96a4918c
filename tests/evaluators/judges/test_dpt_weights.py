"""DPT-Hybrid from its authors' file: every weight under its own name, and only the very file is the benchmark's."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_judges import HERE, manifest, noise, randomise
from transformers import DPTConfig, DPTForDepthEstimation

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import dpt_weights, official

SIZES = {"hidden_sizes": [128, 128, 128], "depths": [1, 2, 1], "embedding_size": 32}
"""The least that norms of 32 groups, which no shape tells, allow."""


@pytest.fixture(scope="module")
def network() -> DPTForDepthEstimation:
    bit = {
        "model_type": "bit",
        "layer_type": "bottleneck",
        "global_padding": "same",
        "embedding_dynamic_padding": True,
        "out_features": ["stage1", "stage2", "stage3"],
    }
    config = DPTConfig(
        is_hybrid=True,
        backbone_config=bit | SIZES,
        backbone_featmap_shape=[1, 128, 4, 4],
        image_size=64,
        patch_size=16,
        hidden_size=24,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=48,
        neck_ignore_stages=[0, 1],
        reassemble_factors=[1, 1, 1, 0.5],
        neck_hidden_sizes=[128, 128, 24, 24],
        fusion_hidden_size=64,
        readout_type="project",
        hidden_act="gelu",
    )
    model = randomise(DPTForDepthEstimation(config), std=0.05)
    torch.nn.init.constant_(model.head.head[4].bias, 5.0)  # the depth is cut off at 0
    return model


def as_published(model: DPTForDepthEstimation) -> dict[str, torch.Tensor]:
    """The weights under the names of MiDaS and timm, read from their code: the third name of a projection stands in one."""
    state, found = model.state_dict(), {}
    for name, tensor in state.items():
        if layer := re.fullmatch(r"dpt\.encoder\.layer\.(\d+)\.attention\.attention\.query\.(weight|bias)", name):
            parts = [state[name.replace("query", part)] for part in ("query", "key", "value")]
            found[f"pretrained.model.blocks.{layer[1]}.attn.qkv.{layer[2]}"] = torch.cat(parts)
        elif ".attention.attention." not in name:
            found[published_name(name)] = tensor
    return found | {"pretrained.model.head.weight": torch.zeros(5, 24), "pretrained.model.head.bias": torch.zeros(5)}


def published_name(name: str) -> str:
    part, _, rest = name.partition(".")
    numbers = [int(number) for number in re.findall(r"\d+", name)]
    kind = name.rpartition(".")[2]
    if part == "head":
        return f"scratch.output_conv.{rest.removeprefix('head.')}"
    if rest.startswith("convs"):
        return f"scratch.layer{numbers[0] + 1}_rn.{kind}"
    if rest.startswith("reassemble_stage.readout_projects"):
        return f"pretrained.act_postprocess{numbers[0] + 1}.0.project.0.{kind}"
    if rest.startswith("reassemble_stage.layers"):
        return f"pretrained.act_postprocess{numbers[0] + 1}.{3 if 'projection' in rest else 4}.{kind}"
    if rest.startswith("fusion_stage"):
        step = f"scratch.refinenet{4 - numbers[0]}"
        inner = re.search(r"residual_layer(\d)\.convolution(\d)", rest)
        return f"{step}.resConfUnit{inner[1]}.conv{inner[2]}.{kind}" if inner else f"{step}.out_conv.{kind}"
    if "backbone.bit.embedder" in rest:
        return f"pretrained.model.patch_embed.backbone.stem.{'conv' if 'convolution' in rest else 'norm'}.{kind}"
    if "backbone.bit.encoder" in rest:
        stage = rest.partition("stages.")[2].replace(".layers.", ".blocks.")
        return f"pretrained.model.patch_embed.backbone.stages.{stage}"
    block = {"layernorm_before": "norm1", "layernorm_after": "norm2", "attention.output.dense": "attn.proj"}
    block |= {"intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2"}
    if rest.startswith("encoder.layer."):
        inner_name = rest.split(".", 3)[3].rpartition(".")[0]
        return f"pretrained.model.blocks.{numbers[0]}.{block[inner_name]}.{kind}"
    plain = {"embeddings.cls_token": "cls_token", "embeddings.position_embeddings": "pos_embed"}
    named = {"embeddings.projection": "patch_embed.proj", "layernorm": "norm"}
    return f"pretrained.model.{plain.get(rest) or named[rest.rpartition('.')[0]] + '.' + kind}"


@pytest.fixture(scope="module")
def published(network, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("dpt") / "dpt_hybrid-midas-501f0c75.pt"
    torch.save(as_published(network), file)
    return file


def test_the_authors_file_and_transformers_folder_agree(network, published, tmp_path):
    network.save_pretrained(tmp_path)
    ours, theirs = (official.load("depth", source=str(place), **HERE) for place in (published, tmp_path))
    assert ours.fingerprint == theirs.fingerprint
    pictures = [noise(64, 64), noise(120, 40, 1)]
    maps = ours.depth(pictures)
    assert all(depth.std() > 0 for depth in maps)
    assert all(np.array_equal(one, other) for one, other in zip(maps, theirs.depth(pictures), strict=True))


def test_another_file_of_the_same_shapes_is_not_the_benchmarks(network, published, tmp_path):
    stored = torch.load(published)
    stored["scratch.output_conv.4.bias"] += 1
    torch.save(stored, tmp_path / published.name)
    own = manifest("depth", published)
    judges = [official.load("depth", source=str(file), manifest=own, **HERE) for file in (published, tmp_path / published.name)]
    assert [(judge.exact, judge.match, judge.backend) for judge in judges] == [
        (True, "exact", "dpt-hybrid-midas"),
        (False, "another file", f"dpt:{published.name}"),
    ]


def test_a_file_whose_digest_nobody_published_is_official_by_its_name_only(published, tmp_path):
    unknown = manifest("depth", published, sha256="")
    judge = official.load("depth", source=str(published), manifest=unknown, **HERE)
    assert (judge.exact, judge.match, judge.backend) == (False, "digest unknown", "dpt-hybrid-midas")
    renamed = tmp_path / "mine.pt"
    renamed.write_bytes(published.read_bytes())
    assert official.load("depth", source=str(renamed), manifest=unknown, **HERE).match == "another file"


def test_the_fetched_file_comes_first(published, own_cache):
    (own_cache / "weights").mkdir(parents=True)
    (own_cache / "weights" / published.name).write_bytes(published.read_bytes())
    judge = official.load("depth", **HERE)
    assert (judge.match, judge.backend) == ("another file", f"dpt:{published.name}")  # the published digest is another


def test_a_file_that_is_another_networks_is_refused(published, tmp_path):
    stored = torch.load(published)
    lacking = {name: tensor for name, tensor in stored.items() if name != "pretrained.model.norm.bias"}
    for content, said in (
        (lacking, r"lacks 1 weights \(dpt\.layernorm\.bias"),
        (stored | {"pretrained.model.norm.bias": torch.zeros(3)}, r"dpt\.layernorm\.bias is \(3,\) and not \(24,\)"),
        (stored | {"pretrained.extra": torch.zeros(3)}, r"holds pretrained\.extra, which DPT-Hybrid has not"),
        ({"state_dict": stored}, "is not DPT-Hybrid's checkpoint"),
    ):
        torch.save(content, tmp_path / "model.pt")
        with pytest.raises(JudgeError, match=said):
            official.load("depth", source=str(tmp_path / "model.pt"), **HERE)
    tmp_path.joinpath("model.pt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(JudgeError, match="no checkpoint that torch can read"):
        dpt_weights.read_checkpoint(tmp_path / "model.pt")
