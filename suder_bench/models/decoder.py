"""The language model one token at a time: own loop over its layers, keys and values in preallocated tensors.

transformers' forward rebuilds masks and rotary tables at every step and attends to a whole static cache; for a small model that
costs more than the arithmetic. This loop calls the same modules (adapters put into them keep working) on the filled part.
Rows are padded on the left, so that every row writes the same column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from transformers import LlamaModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm


class Decoder:
    """Rows of one batch: `start` reads the prompts, `select` repeats or drops rows, `step` appends one position to each.

    The keys and values of a prompt are kept once where equally many rows continue each, which then attend to them together.
    """

    def __init__(self, llama: LlamaModel, *, spare: int):
        """`spare` columns are allocated behind the prompt, and again whenever they are full."""
        self.llama = llama
        self.layers = cast("list[LlamaDecoderLayer]", list(llama.layers))
        self.spare = spare
        self.read: list[tuple[torch.Tensor, torch.Tensor]] = []  # keys, values of the prompts: (prompts, heads, tokens, width)
        self.bias: torch.Tensor | None = None  # (prompts, 1, 1, tokens), -inf on padding; None when no prompt is padded
        self.keys: list[torch.Tensor] = []  # of what was appended, one a layer: (rows, heads, columns, width of a head)
        self.values: list[torch.Tensor] = []
        self.length = 0  # columns appended
        self.positions = torch.empty(0)  # (rows,), the next position of each row
        self.prompt = torch.empty(0)  # (rows,), whose prompt a row continues
        self.even = 1  # rows of each prompt, which stand together

    def start(self, prompts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Read prompts of embeddings, each (tokens, width); returns the last hidden state of each, (rows, width)."""
        device, dtype = prompts[0].device, prompts[0].dtype
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        longest = int(lengths.max())
        x = torch.stack([F.pad(prompt, (0, 0, longest - len(prompt), 0)) for prompt in prompts])
        padding = longest - lengths
        columns = torch.arange(longest, device=device)
        mask = None
        if bool(padding.any()):
            real = columns >= padding[:, None]
            # A padded query would see nothing and turn into NaN: let it see itself; no real query sees it.
            causal = (columns[:, None] >= columns) & real[:, None, :] | torch.eye(longest, dtype=torch.bool, device=device)
            mask = causal[:, None]
            self.bias = torch.zeros(real.shape, dtype=dtype, device=device).masked_fill(~real, -torch.inf)[:, None, None]
        cos, sin = self._rotary(x, (columns - padding[:, None]).clamp(min=0))
        for layer in self.layers:
            q, k, v = _heads(layer, x, cos, sin)
            self.read.append((k.contiguous(), v.contiguous()))  # every step's products would copy them otherwise
            shared = q.shape[1] != k.shape[1]
            scale = layer.self_attn.scaling
            attended = F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, scale=scale, enable_gqa=shared)
            x = _rest(layer, x, attended)
        self.keys = [k[:, :, :0] for k, _ in self.read]
        self.values = list(self.keys)
        self.positions = lengths
        self.prompt = torch.arange(len(prompts), device=device)
        self._group()
        return _norm(self.llama.norm, x[:, -1])

    def select(self, rows: torch.Tensor) -> None:
        """Continue with these rows, in this order; a row may be repeated."""
        self.keys = [k[rows] for k in self.keys]
        self.values = [v[rows] for v in self.values]
        self.positions = self.positions[rows]
        self.prompt = self.prompt[rows]
        self._group()

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """Append one embedding to each row, (rows, width); returns the hidden states, (rows, width)."""
        if self.length == self.keys[0].shape[2]:
            self._grow()
        column, self.length = self.length, self.length + 1
        x = x[:, None]
        cos, sin = self._rotary(x, self.positions[:, None])
        for layer, read, keys, values in zip(self.layers, self.read, self.keys, self.values, strict=True):
            q, k, v = _heads(layer, x, cos, sin)
            keys[:, :, column : self.length] = k
            values[:, :, column : self.length] = v
            attended = self._attend(q * layer.self_attn.scaling, *read, keys[:, :, : self.length], values[:, :, : self.length])
            x = _rest(layer, x, attended)
        self.positions = self.positions + 1
        return _norm(self.llama.norm, x[:, 0])

    def _attend(
        self, q: torch.Tensor, read_k: torch.Tensor, read_v: torch.Tensor, k: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        """Attention of one scaled query a row, (rows, heads, 1, width), to its prompt and to what was appended to it; queries
        that share keys stand beside each other.

        Plain products: torch's fused kernel calls one matrix-vector product a head and takes a third longer on a CPU.
        """
        grouped = q.reshape(*k.shape[:2], -1, q.shape[-1])
        scores = torch.cat([self._over_prompts(grouped, read_k.transpose(2, 3), self.bias), grouped @ k.transpose(2, 3)], dim=-1)
        shares = torch.softmax(scores, dim=-1, dtype=torch.float32).to(v.dtype)
        to_prompt, appended = shares.split([read_k.shape[2], k.shape[2]], dim=-1)
        return (self._over_prompts(to_prompt, read_v, None) + appended @ v).reshape(q.shape)

    def _over_prompts(self, rows: torch.Tensor, table: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """`rows` (rows, heads, queries, a) times its prompt's `table` (prompts, heads, a, b); a prompt's rows are one product."""
        prompts, (_, heads, queries, width) = len(table), rows.shape
        together = rows.view(prompts, self.even, heads, queries, width).transpose(1, 2).flatten(2, 3)
        product = together @ table if bias is None else together @ table + bias
        return product.unflatten(2, (self.even, queries)).transpose(1, 2).flatten(0, 1)

    def _group(self) -> None:
        """Where rows do not continue their prompts in order and equally many each, every row gets its prompt for itself: a
        product for each prompt would cost more than it saves."""
        sizes = torch.bincount(self.prompt, minlength=len(self.read[0][0])).tolist()
        in_order = bool((self.prompt[1:] >= self.prompt[:-1]).all())
        if in_order and len(set(sizes)) == 1:
            self.even = sizes[0]
            return
        self.read = [(k[self.prompt], v[self.prompt]) for k, v in self.read]
        self.bias = None if self.bias is None else self.bias[self.prompt]
        self.prompt = torch.arange(len(self.prompt), device=self.prompt.device)
        self.even = 1

    def _grow(self) -> None:
        for cache in (self.keys, self.values):
            for i, filled in enumerate(cache):
                _, heads, columns, width = filled.shape
                cache[i] = filled.new_empty(len(self.positions), heads, columns + self.spare, width)
                cache[i][:, :, :columns] = filled

    def _rotary(self, x: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin, (rows, 1, tokens, width of a head); the sign of the half rotation stands in sin."""
        cos, sin = self.llama.rotary_emb(x, position_ids=positions)
        half = sin.shape[-1] // 2
        return cos[:, None], torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)[:, None]


def _norm(norm: LlamaRMSNorm, x: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _heads(layer: LlamaDecoderLayer, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Rotated queries and keys, and values, each (rows, heads, tokens, width of a head)."""
    attention = layer.self_attn
    x = _norm(layer.input_layernorm, x)
    shape = (*x.shape[:2], -1, attention.head_dim)
    q, k, v = (project(x).view(shape).transpose(1, 2) for project in (attention.q_proj, attention.k_proj, attention.v_proj))
    turned = torch.cat([q, k], dim=1)
    turned = torch.addcmul(turned * cos, turned.roll(attention.head_dim // 2, dims=-1), sin)
    q, k = turned.split([q.shape[1], k.shape[1]], dim=1)
    return q, k, v


def _rest(layer: LlamaDecoderLayer, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    x = x + layer.self_attn.o_proj(attended.transpose(1, 2).flatten(2))
    return x + layer.mlp(_norm(layer.post_attention_layernorm, x))
