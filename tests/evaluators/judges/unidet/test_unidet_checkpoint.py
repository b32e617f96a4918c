"""UniDet's checkpoints: their names are the network's own, and a file is taken whole or not at all."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges.unidet import anchors
from suder_bench.evaluators.judges.unidet.checkpoint import read_network
from suder_bench.evaluators.judges.unidet.classes import names
from suder_bench.evaluators.judges.unidet.network import CONFIGURATIONS, R50, RS200, Network

NAMED = {
    "r50": (311, "a666daf2beca8604ccff1307072c85966394e40fc3eb718af72102325dcd669e"),
    "rs200": (1671, "d56cc8591defbcba865e80d2993ef3571d00b2a1290d45f01ba05e7822e96b59"),
}
"""How many tensors UniDet's own modules have, counters of batches aside, and the sha256 of their sorted names and shapes."""


@pytest.mark.parametrize("name", NAMED)
def test_the_tensors_are_called_as_in_unidet_s_own_modules(name):
    with torch.device("meta"):
        network = Network(CONFIGURATIONS[name])
    rows = sorted(f"{key} {tuple(value.shape)}" for key, value in network.state_dict().items())
    assert (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest()) == NAMED[name]


def test_722_classes_some_of_one_name():
    assert len(names()) == 722
    assert (names()[13], names()[138]) == ("street light", "bench")
    assert [number for number, name in enumerate(names()) if name == "boat"] == [126, 719]


def test_a_checkpoint_is_read_with_what_training_left_beside_it(r50, file):
    network, configuration = read_network(file)
    assert configuration is R50
    assert network.state_dict().keys() == r50.keys()
    assert all(torch.equal(own, r50[name]) for name, own in network.state_dict().items())
    assert not network.training


def test_constants_and_counters_of_older_versions_are_checked_and_left_out(r50, save):
    cells = {f"proposal_generator.anchor_generator.cell_anchors.{i}": anchors.cell(own) for i, own in enumerate(anchors.SIZES)}
    counters = {"backbone.fpn_lateral3.norm.num_batches_tracked": torch.tensor(5)}
    mean = {"pixel_mean": torch.tensor(R50.mean)[:, None, None], "pixel_std": torch.ones(3, 1, 1)}
    assert read_network(save(r50 | cells | counters | mean))[1] is R50
    with pytest.raises(JudgeError, match="its pixel_mean is not UniDet r50's"):
        read_network(save(r50 | {"pixel_mean": torch.tensor(RS200.mean)}))
    cells["proposal_generator.anchor_generator.cell_anchors.2"] = anchors.cell(anchors.SIZES[2]).round()
    with pytest.raises(JudgeError, match=r"cell_anchors\.2 is not"):
        read_network(save(r50 | cells))


def test_arrays_of_numpy_and_half_precision_are_read_as_float32(r50, save):
    name = "roi_heads.box_predictor.0.bbox_pred.bias"
    network, _ = read_network(save({"model": r50 | {name: r50[name].numpy().astype(np.float16)}}))
    assert network.state_dict()[name].dtype == torch.float32
    assert torch.equal(network.state_dict()[name], r50[name].half().float())


LAST = "roi_heads.box_predictor.2.cls_score.bias"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({LAST: None}, f"it lacks {LAST}, which UniDet r50 has"),
        ({"strange.weight": torch.zeros(1)}, "it has strange.weight, which UniDet r50 has not"),
        ({LAST: torch.zeros(81)}, rf"{LAST} is \(81,\), that of UniDet r50 is \(723,\)"),
        ({LAST: torch.full((723,), float("nan"))}, f"{LAST} holds what is not finite"),
    ],
)
def test_the_first_difference_is_named(r50, save, change, said):
    changed = {name: own for name, own in (r50 | change).items() if own is not None}
    with pytest.raises(JudgeError, match=said) as caught:
        read_network(save({"model": changed}))
    assert "\n" not in str(caught.value)


class Trap:
    def __reduce__(self):
        return (print, ("executed",))


def test_other_files_are_refused_and_nothing_in_them_is_executed(save, tmp_path, capsys):
    for content in ({"model": Trap()}, {"model": [1]}, [1], {"epoch": 3}):
        with pytest.raises(JudgeError, match=r"no checkpoint that can be read|not a checkpoint of UniDet"):
            read_network(save(content))
    tmp_path.joinpath("page.pth").write_text("<html>quota exceeded</html>")
    with pytest.raises(JudgeError, match="no checkpoint that can be read"):
        read_network(tmp_path / "page.pth")
    with pytest.raises(JudgeError, match="no checkpoint that can be read"):
        read_network(tmp_path / "nothing.pth")
    assert "executed" not in capsys.readouterr().out


def test_constants_of_another_shape_are_another_network_s(r50, save):
    with pytest.raises(JudgeError, match=r"cell_anchors\.0 is not UniDet r50's"):
        read_network(save(r50 | {"proposal_generator.anchor_generator.cell_anchors.0": torch.zeros(3, 4)}))


@pytest.mark.parametrize("text", ["access denied", "total 12", "uuu", "<html>", ""])
def test_a_text_is_no_checkpoint(tmp_path, text):
    (tmp_path / "unidet.pth").write_text(text)
    with pytest.raises(JudgeError, match="is no checkpoint that can be read"):
        read_network(tmp_path / "unidet.pth")
