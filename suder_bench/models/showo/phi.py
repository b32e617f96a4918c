"""Phi for the cached decoder: layers that read one norm for attention and perceptron, and turn a part of each head."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from transformers.activations import NewGELUActivation
from transformers.models.phi.modeling_phi import PhiDecoderLayer

from suder_bench.models.decoder import Decoder
from suder_bench.models.packed import Function, beside, onto, worth_packing


class PhiDecoder(Decoder):
    """`Decoder` of transformers' `PhiModel`."""

    def layers_of(self, layers: Sequence[Any]) -> Sequence[PhiLayer]:
        pack = worth_packing(self.llama)
        return [PhiLayer(layer, pack=pack) for layer in layers]

    def final(self, x: torch.Tensor) -> torch.Tensor:
        model: Any = self.llama
        made: torch.Tensor = model.final_layernorm(x)
        return made


class PhiLayer:
    """Implements `AnyLayer`; the activation in one operation where transformers writes the same in eight."""

    def __init__(self, layer: PhiDecoderLayer, *, pack: bool):
        attention: Any = layer.self_attn
        self.layer, self.attention = layer, attention
        self.width, self.scaling, self.turned = attention.head_dim, attention.scaling, attention.rotary_ndims
        self.queries = int(attention.num_key_value_groups)
        self.shared = int(attention.config.num_attention_heads) // self.queries
        self.qkv = beside([attention.q_proj, attention.k_proj, attention.v_proj], pack=pack)
        self.out = onto(attention.dense, pack=pack)
        self.inner, self.outer = beside([layer.mlp.fc1], pack=pack), onto(layer.mlp.fc2, pack=pack)
        given = layer.mlp.activation_fn
        self.activation: Function = partial(F.gelu, approximate="tanh") if isinstance(given, NewGELUActivation) else given

    def heads(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> list[torch.Tensor]:
        """Rotated queries and keys, and values, each (..., heads, width of a head), of `x` (..., width)."""
        qkv = self.qkv(self.layer.input_layernorm(x)).unflatten(-1, (-1, self.width))
        q, k, v = qkv.split([self.shared * self.queries, self.shared, self.shared], dim=-2)
        if self.attention.qk_layernorm:
            q, k = self.attention.q_layernorm(q), self.attention.k_layernorm(k)
        return [self._turn(q, cos, sin), self._turn(k, cos, sin), v]

    def rest(self, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        inner = self.activation(self.inner(self.layer.input_layernorm(x)))
        return self.outer(inner, self.out(attended, x))

    def _turn(self, heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        part, rest = heads[..., : self.turned], heads[..., self.turned :]
        return torch.cat([torch.addcmul(part * cos, part.roll(self.turned // 2, dims=-1), sin), rest], dim=-1)
