"""UniDet's checkpoints as detectron2 saves them, read without executing anything in them, and taken whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges.unidet import anchors
from suder_bench.evaluators.judges.unidet.network import R50, RS200, Configuration, Network
from suder_bench.evaluators.judges.weights import UNREADABLE

COUNTER = "num_batches_tracked"
CELLS = "proposal_generator.anchor_generator.cell_anchors."
DEEP_STEM = "backbone.bottom_up.stem.conv1_1.weight"
"""Only RS200 has it."""


def read_network(file: Path) -> tuple[Network, Configuration]:
    """The network that a file holds, in float32 on the CPU.

    Raises `JudgeError` naming the first weight that is lacking, strange, of another shape or not finite, and for constants in
    the file (means, anchors) that are not this network's.
    """
    tensors = read(file)
    configuration = RS200 if DEEP_STEM in tensors else R50
    for name, value in _constants(configuration).items():
        if name not in tensors:
            continue
        found = tensors.pop(name).float().flatten()
        if found.shape != value.flatten().shape or not torch.allclose(found, value.flatten(), rtol=1e-6):
            raise _wrong(file, f"its {name} is not UniDet {configuration.name}'s")
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTER)}
    with torch.device("meta"):
        network = Network(configuration)
    _compare(file, tensors, network.state_dict(), configuration)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return network.eval().requires_grad_(False), configuration


def read(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, under "model" or bare; arrays of numpy count as tensors. Raises `JudgeError`."""
    try:
        with torch.serialization.safe_globals(_arrays()):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise JudgeError(
            f"{file} is no checkpoint that can be read ({reason}); remove it and get it again: suder-bench judges fetch"
        ) from error
    model = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(model, dict) or not all(isinstance(value, (torch.Tensor, np.ndarray)) for value in model.values()):
        raise _wrong(file, "it holds no model of tensors")
    return {name: torch.as_tensor(value) for name, value in model.items()}


def _compare(
    file: Path, tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], configuration: Configuration
) -> None:
    network = f"UniDet {configuration.name}"
    for name, own in expected.items():
        if name not in tensors:
            raise _wrong(file, f"it lacks {name}, which {network} has")
        if tensors[name].shape != own.shape:
            raise _wrong(file, f"{name} is {tuple(tensors[name].shape)}, that of {network} is {tuple(own.shape)}")
        if not tensors[name].isfinite().all():
            raise _wrong(file, f"{name} holds what is not finite")
    for name in tensors.keys() - expected.keys():
        raise _wrong(file, f"it has {name}, which {network} has not")


def _constants(configuration: Configuration) -> dict[str, torch.Tensor]:
    """What older versions of detectron2 saved beside the weights."""
    found = {f"{CELLS}{place}": anchors.cell(sizes) for place, sizes in enumerate(anchors.SIZES)}
    return {"pixel_mean": torch.tensor(configuration.mean), "pixel_std": torch.tensor(configuration.deviation), **found}


def _wrong(file: Path, why: str) -> JudgeError:
    return JudgeError(f"{file} is not a checkpoint of UniDet: {why}; get one with suder-bench judges fetch")


def _arrays() -> list[Any]:
    """What numpy's plain arrays and numbers are made of, in files of old and new versions of numpy."""
    array, scalar = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "b1")}
    old = [(array, "numpy.core.multiarray._reconstruct"), (scalar, "numpy.core.multiarray.scalar")]
    return [*old, array, scalar, np.ndarray, np.dtype, *kinds]
