"""A step of the decoder in as few operations as torch has for it on a CPU, where a small model's time goes into starting them.

Norms' weights and the scores' scaling stand in the packed weights; a head's numbers stand in pairs, so that the rotation is one
product of complex numbers, which is written to where keys are kept; residuals and gates are added by the products themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from transformers import LlamaModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaMLP, LlamaRMSNorm

from suder_bench.models.decoder import Decoder
from suder_bench.models.packed import Packed, hooked, is_plain, joined, worth_packing
from suder_bench.models.static import CHANGING


def lean_enough(llama: LlamaModel) -> bool:
    """Whether all layers are plain ones that may be copied, so that `LeanDecoder` can stand for them."""
    return (
        worth_packing(llama)
        and getattr(llama.rotary_emb, "rope_type", None) not in CHANGING
        and not any(hooked(one) for one in llama.layers.modules())
        and all(_is_plain_layer(layer) for layer in llama.layers)
    )


def _is_plain_layer(layer: torch.nn.Module) -> bool:
    if type(layer) is not LlamaDecoderLayer or type(layer.mlp) is not LlamaMLP:
        return False
    attention, mlp = layer.self_attn, layer.mlp
    linear = (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj)
    norms = (layer.input_layernorm, layer.post_attention_layernorm)
    return all(map(is_plain, linear)) and all(type(one) is LlamaRMSNorm for one in norms)


class LeanDecoder(Decoder):
    """`Decoder` without groups, for plain layers in float32 on a CPU: keys and values of every row stand in one tensor of full
    length. `spare` steps at most.
    """

    layers: Sequence[_LeanLayer]

    def __init__(self, llama: LlamaModel, *, spare: int):
        super().__init__(llama, spare=spare)
        self.cache: list[torch.Tensor] = []  # one a layer: (2, rows, heads, columns, width of a head)
        self.bias: torch.Tensor | None = None  # (rows * heads, 1, columns), -inf where a row may not look
        self.turns = torch.empty(0)  # (steps, rows, 1, half the width of a head), complex
        self.queries = torch.empty(0)  # (rows, heads, half the width of a head), complex, of the current layer
        self.before = 0

    def layers_of(self, layers: Sequence[LlamaDecoderLayer]) -> Sequence[_LeanLayer]:
        return [_LeanLayer(layer) for layer in layers]

    def select(self, rows: torch.Tensor, lengths: torch.Tensor | None = None) -> None:
        """Go on with these prompts, each from its first `lengths` tokens, (rows,), or from its end; once only."""
        begun, mask = self.beginnings(rows, lengths)
        self.before = mask.shape[1]
        heads = self.read[0].shape[2]
        if bool(mask.any()):
            self.bias = torch.nn.functional.pad(mask, (0, self.spare)).repeat_interleave(heads, dim=0)[:, None]
        steps = begun[:, None] + torch.arange(self.spare)
        turns, _ = self.rotary(self.read[0], steps)
        self.turns = turns.transpose(0, 1).contiguous()
        while self.read:
            read = self.read.pop(0)
            two, _, _, tokens, width = read.shape
            cache = read.new_empty(two, len(rows), heads, tokens + self.spare, width)
            cache[:, :, :, :tokens] = read[:, rows]
            self.cache.append(cache)
        self.queries = turns.new_empty(len(rows), heads * self.layers[0].queries, turns.shape[-1])

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """Append one embedding to each row, (rows, width); returns the hidden states, (rows, width)."""
        column = self.before + self.appended
        turn, bias = self.turns[self.appended], None if self.bias is None else self.bias[:, :, : column + 1]
        for layer, cache in zip(self.layers, self.cache, strict=True):
            pairs, values = layer.products(x)
            queries = self.queries.shape[1]
            torch.mul(pairs[:, :queries], turn, out=self.queries)
            torch.mul(pairs[:, queries:], turn, out=_paired(cache[0, :, :, column]))
            cache[1, :, :, column] = values
            k, v = cache[:, :, :, : column + 1].flatten(1, 2).unbind()
            q = torch.view_as_real(self.queries).view(len(k), -1, k.shape[-1])
            scores = torch.bmm(q, k.transpose(1, 2)) if bias is None else torch.baddbmm(bias, q, k.transpose(1, 2))
            x = layer.rest(x, torch.bmm(torch.softmax(scores, dim=-1), v).view(len(x), -1))
        self.appended += 1
        return self.final(x)

    def rotary(self, x: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """cos + i sin, (rows, tokens, 1, half the width of a head), twice."""
        cos, sin = self.llama.rotary_emb(x, position_ids=positions)
        half = sin.shape[-1] // 2
        turns = torch.complex(cos[..., :half].contiguous(), sin[..., :half].contiguous())[:, :, None]
        return turns, turns


class _LeanLayer:
    """Implements `AnyLayer`."""

    scaling = 1.0

    def __init__(self, layer: LlamaDecoderLayer):
        attention, mlp = layer.self_attn, layer.mlp
        self.width, self.queries = int(attention.head_dim), int(attention.num_key_value_groups)
        self.pairs = attention.k_proj.out_features * (1 + self.queries)  # numbers of all queries and keys
        weight, bias = joined([attention.q_proj, attention.k_proj, attention.v_proj])
        order = torch.arange(self.width).view(2, -1).T.flatten()
        order = torch.cat(
            [torch.arange(0, self.pairs, self.width)[:, None] + order, torch.arange(self.pairs, len(weight)).view(-1, self.width)]
        ).flatten()
        scale = weight.new_ones(len(weight))
        scale[: attention.q_proj.out_features] = attention.scaling
        bias = None if bias is None else (bias * scale)[order]
        self.before_heads, self.before_mlp = _Norm(layer.input_layernorm), _Norm(layer.post_attention_layernorm)
        self.qkv = Packed((self.before_heads.into(weight) * scale[:, None])[order], bias)
        self.out, self.down = Packed.of(attention.o_proj), Packed.of(mlp.down_proj)
        self.gate, self.up = (Packed(self.before_mlp.into(one.weight.detach()), one.bias) for one in (mlp.gate_proj, mlp.up_proj))
        self.activation = mlp.act_fn

    def products(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and keys, (..., heads of both, half the width of a head), complex, before rotation; and the values."""
        qkv = self.qkv(self.before_heads(x))
        return _paired(qkv[..., : self.pairs].unflatten(-1, (-1, self.width))), qkv[..., self.pairs :].unflatten(
            -1, (-1, self.width)
        )

    def heads(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> Sequence[torch.Tensor]:
        pairs, values = self.products(x)
        both = torch.view_as_real(pairs * cos).flatten(-2)
        return *both.split([both.shape[-2] - values.shape[-2], values.shape[-2]], dim=-2), values

    def rest(self, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        x = self.out.onto(attended, x)
        normed = self.before_mlp(x)
        return self.down.onto(self.up.times(normed, self.activation(self.gate(normed))), x)


class _Norm:
    """The root mean square norm of `into`'s products: its weights stand in theirs."""

    def __init__(self, by: LlamaRMSNorm):
        width = len(by.weight)
        self._weight = by.weight.detach() * math.sqrt(width)
        self._least = torch.tensor(math.sqrt(width * by.variance_epsilon))

    def into(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self._weight

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x / torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), self._least)


def _paired(numbers: torch.Tensor) -> torch.Tensor:
    """(..., width) as complex numbers (..., half the width), the same memory."""
    return torch.view_as_complex(numbers.unflatten(-1, (-1, 2)))
