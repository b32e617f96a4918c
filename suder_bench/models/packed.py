"""Linear layers made ready for one sampling: their weights in the order in which oneDNN reads them.

On a CPU in float32 that takes half the time of torch's own product (MKL, on AMD), and a row's outcome depends neither on how
many rows there are nor on the number of threads. The weights are copied, so that what is here holds for as long as nobody
changes them. Whatever is not a plain layer (LoRA, sharded weights, hooks) is called as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import nn
from transformers.models.emu3.modeling_emu3 import Emu3MLP
from transformers.models.janus.modeling_janus import JanusVQVAEHead
from transformers.models.llama.modeling_llama import LlamaMLP

Function = Callable[[torch.Tensor], torch.Tensor]
Onto = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

MUCH = 1 << 28
"""Bytes of weights that are copied at most: a large model would need its memory twice."""


def worth_packing(module: nn.Module) -> bool:
    """Whether a module's linear layers may be copied: small enough, and on a processor that oneDNN has its kernels for."""
    weights = list(module.parameters())
    return (
        all(weight.device.type == "cpu" for weight in weights)
        and torch.backends.cpu.get_cpu_capability().startswith("AVX")
        and _packs()
        and not torch.is_autocast_enabled("cpu")
        and sum(weight.nbytes for weight in weights) <= MUCH
    )


@cache
def _packs() -> bool:
    """Whether this build of torch has the product by its private name, and it is the product."""
    if not torch.backends.mkldnn.is_available():
        return False
    layer, x = nn.utils.skip_init(nn.Linear, 16, 4, bias=False), torch.linspace(-1, 1, 32).view(2, 16)
    try:
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(-1, 1, 64).view(4, 16))
            return torch.allclose(_Packed(layer)(x), layer(x), atol=1e-5)
    except (AttributeError, RuntimeError, TypeError):
        return False


def hooked(module: nn.Module) -> bool:
    """Whether something else is to be called wherever this module is."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def beside(layers: list[nn.Module], *, pack: bool) -> Function:
    """x (..., inputs) to the outputs of linear layers side by side, (..., sum of outputs)."""
    if pack and all(_is_plain(layer) for layer in layers):
        return _Packed(*layers)
    return lambda x: torch.cat([layer(x) for layer in layers], dim=-1)


def onto(layer: nn.Module, *, pack: bool) -> Onto:
    """x (..., inputs) and y (..., outputs) to y + layer(x)."""
    if pack and _is_plain(layer):
        packed = _Packed(layer)
        return lambda x, y: packed(x).add_(y)
    return lambda x, y: y + layer(x)


def gated_onto(mlp: LlamaMLP | Emu3MLP, *, pack: bool) -> Onto:
    """x and y, both (..., width), to y + mlp(x), of a gated multilayer perceptron."""
    parts = [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    if not pack or hooked(mlp) or not isinstance(mlp, LlamaMLP | Emu3MLP) or not all(_is_plain(part) for part in parts):
        return lambda x, y: y + mlp(x)
    both, down = _Packed(mlp.gate_proj, mlp.up_proj), _Packed(mlp.down_proj)

    def forward(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        gate, up = both(x).chunk(2, dim=-1)
        return down(mlp.act_fn(gate).mul_(up)).add_(y)

    return forward


def image_head(head: JanusVQVAEHead, *, pack: bool) -> Function:
    """Hidden states (..., width) to the logits of image tokens."""
    first, second = head.proj_out, head.vision_head
    if not pack or hooked(head) or not (_is_plain(first) and _is_plain(second)):
        return cast(Function, head)
    inner, outer = _Packed(first), _Packed(second)
    return lambda hidden: outer(head.activation_fn(inner(hidden)))


def _is_plain(layer: nn.Module) -> bool:
    return (
        type(layer) is nn.Linear
        and not hooked(layer)
        and type(layer.weight) is nn.Parameter
        and layer.weight.dtype == torch.float32
        and layer.weight.numel() > 0  # elsewhere, where a training shards its weights
    )


class _Packed:
    """Plain linear layers side by side, by what torch.compile writes for one on a CPU: torch has no other name for it."""

    def __init__(self, *layers: Any):
        weight = torch.cat([layer.weight.detach() for layer in layers])
        biases = [weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias.detach() for layer in layers]
        self.bias = None if all(layer.bias is None for layer in layers) else torch.cat(biases)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(x, self.weight, self.bias, "none", [], "")
        return made
