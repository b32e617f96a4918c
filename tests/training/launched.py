"""The command line with the tests' rewards, as a process of its own: launched.py COMMAND ... [+ COMMAND ...].

As one of several it leaves the weights that it holds in the end in rank-R.safetensors of the run's folder.
"""

from __future__ import annotations

import os
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from accelerate import DistributedType, PartialState
from fake_rewards import REWARDS
from safetensors.torch import save_file

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.training import strategies

run = strategies._go


def leaving_weights(trainer: Any, folder: Path) -> int:
    steps = run(trainer, folder)
    state = trainer.policy.state_dict()
    whole = {name: getattr(tensor, "full_tensor", tensor.contiguous)().clone() for name, tensor in state.items()}
    save_file(whole, folder / f"rank-{os.environ['RANK']}.safetensors")
    return steps


def as_on_gpus(state: Any, *arguments: Any, **keywords: Any) -> None:
    """accelerate shards with FSDP between GPUs only; nothing else of it asks what they are."""
    begin(state, *arguments, **keywords)
    if state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.MULTI_GPU


if os.environ.get("AS_ON_GPUS"):
    begin = PartialState.__init__
    PartialState.__init__ = as_on_gpus  # type: ignore[method-assign]

registry.TABLE = {**registry.TABLE, "rewards": {**registry.TABLE["rewards"], **REWARDS}}
if "RANK" in os.environ:
    strategies._go = leaving_weights
for more, command in groupby(sys.argv[1:], lambda word: word == "+"):
    status = 0 if more else main(list(command))
    if status:
        sys.exit(status)
