"""Every tensor of mmdet's model has its place in transformers', and none is left over."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tiny_detector
import torch
from torch.nn.functional import layer_norm, linear, unfold

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import mmdet_weights
from suder_bench.evaluators.judges.mmdet_weights import (
    Checkpoint,
    build,
    convert,
    geneval_config,
    main,
    read,
    relative_places,
    same_network,
    table,
)

TINY = tiny_detector.config()
TENSORS = tiny_detector.tensors(TINY)


def back(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """transformers' tensors under mmdet's names: the other way round, taking each of them."""
    left, names = dict(found), {}
    for row in table(TINY):
        parts = [left.pop(other) for other in row.others]
        whole = torch.cat(parts) if parts else relative_places(7)
        names[row.name] = whole.unflatten(-1, (2, 2, -1)).transpose(-1, -3).flatten(-3) if row.patches else whole
    assert not left
    return names


def refusal(tensors: dict[str, torch.Tensor]) -> str:
    with pytest.raises(JudgeError) as caught:
        convert(tensors, TINY, "some.pth")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("judge detector: some.pth is not mask2former_swin-s")
    return str(caught.value)


def test_the_table_is_mmdets_model():
    rows = [f"{row.name} {row.shape}" for row in table(geneval_config())]
    assert len(rows) == 649
    # of the state dict of mmdet 2.28.2's model, name and shape line by line
    assert hashlib.sha256("\n".join(rows).encode()).hexdigest() == (
        "abb610382834566517ec83f9d846a9087da1e72da18d8bf349582286eb3bff86"
    )


def test_every_tensor_goes_there_and_back():
    there = convert(TENSORS, TINY, "some.pth")
    again = back(there)
    assert again.keys() == TENSORS.keys()
    assert all(torch.equal(again[name], TENSORS[name]) for name in TENSORS)
    others = [other for row in table(geneval_config()) for other in row.others]
    assert len(set(others)) == len(others)


def test_the_network_takes_all_of_them_and_needs_no_other():
    model = build(TENSORS, TINY, "some.pth")
    held = {tensor.data_ptr(): tensor for tensor in model.state_dict().values()}
    values = sorted(float(tensor.double().sum()) for tensor in held.values())
    given = sorted(float(tensor.double().sum()) for tensor in convert(TENSORS, TINY, "some.pth").values())
    beside = ["swin.layernorm.weight", "swin.layernorm.bias", "criterion.empty_weight"]
    unused = [float(tensor.double().sum()) for name, tensor in model.state_dict().items() if name.endswith(tuple(beside))]
    assert len(unused) == 3
    assert values == pytest.approx(sorted(given + unused))


def test_patches_are_merged_in_transformers_order():
    """mmdet unfolds 2 x 2 patches channel by channel; transformers joins four shifted maps."""
    picture = torch.randn(1, 16, 6, 8, generator=torch.Generator().manual_seed(0))
    own = "backbone.stages.0.downsample"
    patches = unfold(picture, kernel_size=2, stride=2).transpose(1, 2)
    norm = layer_norm(patches, (64,), TENSORS[f"{own}.norm.weight"], TENSORS[f"{own}.norm.bias"])
    expected = linear(norm, TENSORS[f"{own}.reduction.weight"])
    swin = build(TENSORS, TINY, "some.pth").model.pixel_level_module.encoder
    (merging,) = [module for name, module in swin.named_modules() if name.endswith("layers.0.downsample")]
    assert torch.allclose(merging(picture.flatten(2).transpose(1, 2), (6, 8)), expected, atol=1e-5)


def test_another_network_is_refused_by_its_first_difference():
    name = "backbone.stages.0.blocks.0.attn.w_msa.qkv.weight"
    assert f"{name} is (48, 8), the network's is (48, 16)" in refusal({**TENSORS, name: torch.zeros(48, 8)})
    deeper = {"backbone.stages.0.blocks.2.norm1.weight": torch.zeros(16)}
    assert "it has backbone.stages.0.blocks.2.norm1.weight (16,), the network has not" in refusal({**TENSORS, **deeper})
    assert f"it lacks {name} (48, 16)" in refusal({key: value for key, value in TENSORS.items() if key != name})
    index = "backbone.stages.0.blocks.0.attn.w_msa.relative_position_index"
    assert f"{index} orders the places" in refusal({**TENSORS, index: TENSORS[index].T.contiguous()})


def test_a_file_alone_must_hold_genevals_network(tmp_path):
    tiny_detector.save(tmp_path)
    with pytest.raises(JudgeError, match=r"patch_embed.projection.weight is \(16, 3, 4, 4\), the network's is \(96, 3, 4, 4\)"):
        Checkpoint.find(tmp_path / "tiny.pth").network()
    assert Checkpoint.find(tmp_path).network().config.num_queries == 20
    (tmp_path / "config.json").unlink()
    with pytest.raises(JudgeError, match="the network's is"):
        Checkpoint.find(tmp_path).network()
    (tmp_path / "second.pth").write_bytes(b"")
    with pytest.raises(JudgeError, match=r"holds 2 checkpoints \(second.pth, tiny.pth\); name the file"):
        Checkpoint.find(tmp_path)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.write_text, (self.file, "sprung")


def test_other_files_are_refused_and_nothing_in_them_runs(tmp_path):
    trap, file = tmp_path / "sprung", tmp_path / "some.pth"
    contents = [b"no checkpoint", pickle.dumps(Trap(trap)), b""]
    for content in contents:
        file.write_bytes(content)
        with pytest.raises(JudgeError, match=r"some.pth cannot be read \(.+\); run: suder-bench judges fetch detector --replace"):
            read(file)
    torch.save({"meta": {}, "state_dict": {"a": Trap(trap)}}, file)
    with pytest.raises(JudgeError, match="cannot be read"):
        read(file)
    torch.save({"model": {"a": torch.zeros(1)}}, file)
    with pytest.raises(JudgeError, match="has no 'state_dict' of tensors"):
        read(file)
    assert not trap.exists()


def test_settings_without_weights_count_too():
    other = geneval_config()
    assert same_network(geneval_config(), other)
    other.pre_norm = True
    assert not same_network(geneval_config(), other)
    assert not same_network(geneval_config(), TINY)


def test_the_program_converts_once_and_for_all(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mmdet_weights, "geneval_config", tiny_detector.config)
    file = tiny_detector.save(tmp_path / "mmdet") / "tiny.pth"
    assert main([str(file), str(tmp_path / "converted")]) == 0
    written = json.loads((tmp_path / "converted/config.json").read_text())
    assert written["mmdet"]["file"] == "tiny.pth"
    assert written["mmdet"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert written["architectures"] == ["Mask2FormerForUniversalSegmentation"]
    assert main([str(tmp_path / "nothing.pth"), str(tmp_path / "b")]) == 1
    assert main([]) == 2
    assert "nothing.pth cannot be read" in capsys.readouterr().err


def test_relative_places():
    places = relative_places(7).numpy()
    rows, columns = np.divmod(np.arange(49), 7)
    assert places[10, 30] == (rows[10] - rows[30] + 6) * 13 + columns[10] - columns[30] + 6
