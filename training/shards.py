"""Weights in shards: under DeepSpeed's ZeRO-3 and FSDP no process holds them whole, and sampling reads all of them at every
token. So samples and self-rewards come from a whole copy on each process, which takes over what has been learned before each
rollout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.integrations import deepspeed as zero

from suder_bench.training.policy import Policy


def are_used(args: TrainingArguments) -> bool:
    """Whether the weights that learn will lie in shards."""
    plugin = args.deepspeed_plugin
    fsdp = args.fsdp_plugin_args is not None or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    return fsdp or (plugin is not None and plugin.hf_ds_config.is_zero3())


@contextmanager
def whole_weights(args: TrainingArguments) -> Iterator[None]:
    """Models that are read inside have all their weights on every process, whatever the launcher has told transformers."""
    plugin, name = args.deepspeed_plugin, "FSDP_CPU_RAM_EFFICIENT_LOADING"
    sparing = os.environ.get(name)
    zero.unset_hf_deepspeed_config()
    os.environ[name] = "false"
    try:
        yield
    finally:
        if plugin is not None:
            zero.set_hf_deepspeed_config(plugin.hf_ds_config)
        os.environ.pop(name)
        if sparing is not None:
            os.environ[name] = sparing


@torch.no_grad()
def take_over(policy: Policy, copy: Policy) -> None:
    """Every process's `copy` gets the weights that `policy` has learned; all processes must call it together."""
    for shard, whole in zip(policy.parameters(), copy.parameters(), strict=True):
        if shard.requires_grad:
            with _gathered(shard) as weight:
                whole.copy_(weight)


@contextmanager
def _gathered(shard: Any) -> Iterator[torch.Tensor]:
    if hasattr(shard, "ds_id"):  # a weight of ZeRO-3
        import deepspeed

        with deepspeed.zero.GatheredParameters([shard]):
            yield shard
    else:
        yield shard.full_tensor()
