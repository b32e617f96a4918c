"""Linear layers made ready for one sampling: their weights in the order in which oneDNN reads them.

On a CPU in float32 that takes half the time of torch's own product (MKL, on AMD), and a row's outcome depends neither on how
many rows there are nor on the number of threads. The weights are copied, so that what is here holds for as long as nobody
changes them. Whatever is not a plain layer (LoRA, sharded weights, hooks) is called as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
            packed, y = Packed.of(layer), layer(x)
            pairs = [(packed(x), y), (packed.onto(x, y), 2 * y), (packed.times(x, y), y * y)]
            return all(torch.allclose(one, other, atol=1e-5) for one, other in pairs)
    except (AttributeError, RuntimeError, TypeError):
        return False


def hooked(module: nn.Module) -> bool:
    """Whether something else is to be called wherever this module is."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def beside(layers: list[nn.Module], *, pack: bool) -> Function:
    """x (..., inputs) to the outputs of linear layers side by side, (..., sum of outputs)."""
    if pack and all(is_plain(layer) for layer in layers):
        return Packed.of(*layers)
    return lambda x: torch.cat([layer(x) for layer in layers], dim=-1)


def onto(layer: nn.Module, *, pack: bool) -> Onto:
    """x (..., inputs) and y (..., outputs) to y + layer(x)."""
    if pack and is_plain(layer):
        return Packed.of(layer).onto
    return lambda x, y: y + layer(x)


def gated_onto(mlp: LlamaMLP | Emu3MLP, *, pack: bool) -> Onto:
    """x and y, both (..., width), to y + mlp(x), of a gated multilayer perceptron."""
    parts = [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    if not pack or hooked(mlp) or not isinstance(mlp, LlamaMLP | Emu3MLP) or not all(is_plain(part) for part in parts):
        return lambda x, y: y + mlp(x)
    gate, up, down = (Packed.of(part) for part in parts)
    return lambda x, y: down.onto(up.times(x, mlp.act_fn(gate(x))), y)


def image_head(head: JanusVQVAEHead, *, pack: bool) -> Function:
    """Hidden states (..., width) to the logits of image tokens."""
    first, second = head.proj_out, head.vision_head
    if not pack or hooked(head) or not (is_plain(first) and is_plain(second)):
        return cast(Function, head)
    inner, outer = Packed.of(first), Packed.of(second)
    return lambda hidden: outer(head.activation_fn(inner(hidden)))


def is_plain(layer: nn.Module) -> bool:
    return (
        type(layer) is nn.Linear
        and not hooked(layer)
        and type(layer.weight) is nn.Parameter
        and layer.weight.dtype == torch.float32
        and layer.weight.numel() > 0  # elsewhere, where a training shards its weights
    )


class Packed:
    """A linear product, by what torch.compile writes for one on a CPU: torch has no other name for it."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        """Of weights (outputs, inputs), and bias (outputs,)."""
        self.bias = bias
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight)

    @classmethod
    def of(cls, *layers: Any) -> Packed:
        """Of plain linear layers side by side."""
        return cls(*joined(layers))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(x, self.weight, self.bias, "none", [], "")
        return made

    def onto(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """y + the product."""
        made: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, y, self.weight, self.bias, "add")
        return made

    def times(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """y * the product, number by number."""
        made: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, y, self.weight, self.bias, "mul")
        return made


def joined(layers: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weights and bias of linear layers side by side."""
    weight = torch.cat([layer.weight.detach() for layer in layers])
    if all(layer.bias is None for layer in layers):
        return weight, None
    return weight, torch.cat([weight.new_zeros(one.out_features) if one.bias is None else one.bias.detach() for one in layers])
