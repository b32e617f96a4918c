"""The language model one token at a time: own loop over its layers, keys and values in preallocated tensors.

transformers' forward rebuilds masks and rotary tables at every step and attends to a whole static cache; for a small model that
costs more than the arithmetic. This loop calls the same modules (adapters put into them keep working) on the filled part.
Rows are padded on the left, so that every row writes the same column.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from transformers import LlamaModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm

from suder_bench.models.group import Group
from suder_bench.models.packed import beside, gated_onto, onto, worth_packing
from suder_bench.models.prompt_rows import PromptRows, Shared

FEW = 8
"""Rows that share their prompts attend to them together from so many on: two products more cost more than that saves."""


class AnyLayer(Protocol):
    """One layer's linear products, norms and rotation, for one token of each row or several."""

    queries: int
    """Heads of queries that share one of keys."""
    scaling: float
    """Of the scores, once `heads` has made the queries."""

    def heads(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> Sequence[torch.Tensor]:
        """Rotated queries and keys, and values, each (..., heads, width of a head), of `x` (..., width)."""
        ...

    def rest(self, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """What the layer makes of its input and of what the heads attended to, (..., heads * width of a head)."""
        ...


class Decoder:
    """Rows of one batch: `start` reads the prompts, `select` repeats or drops rows, `step` appends one position to each."""

    layers: Sequence[AnyLayer]

    def __init__(self, llama: LlamaModel, *, spare: int):
        """`spare` columns are allocated behind the prompt, and again whenever they are full."""
        self.llama = llama
        self.layers = self.layers_of(cast("list[LlamaDecoderLayer]", list(llama.layers)))
        self.spare = spare
        self.read: list[torch.Tensor] = []  # keys and values of the prompts, (2, prompts, heads, tokens, width of a head)
        self.padding = torch.empty(0)  # (prompts,), empty columns
        self.shared = 0  # columns before those
        self.groups: list[Group] = []
        self.sizes: list[int] = []  # rows of each group
        self.appended = 0
        self.positions = torch.empty(0)  # (rows,), the next position of each row

    def layers_of(self, layers: Sequence[LlamaDecoderLayer]) -> Sequence[AnyLayer]:
        pack = worth_packing(self.llama)
        return [_Layer(layer, pack=pack) for layer in layers]

    def start(self, prompts: Sequence[torch.Tensor], shared: Shared | None = None, *, until: int | None = None) -> torch.Tensor:
        """Read prompts of embeddings, each (tokens, width); returns the last hidden state of each, (prompts, width).

        With `shared` the prompts go on beginnings, each of which is read once; `until` as of `PromptRows`. In the last layer only
        the ends are followed further than to their keys and values.
        """
        read = PromptRows(prompts, shared, until)
        self.padding, self.shared, x = read.padding, read.before, read.x
        cos, sin = (part[0] for part in self.rotary(x[None], read.positions[None]))
        for layer in self.layers:
            q, k, v = layer.heads(x, cos, sin)
            kv = torch.stack([k, v.to(k.dtype)])
            self.read.append(read.rows(kv))
            if layer is self.layers[-1]:
                x = layer.rest(x[read.ends], read.attend_at_ends(q, self.read[-1], layer.scaling))
            else:
                x = layer.rest(x, read.attend(q, kv, self.read[-1], layer.scaling))
        return self.final(x)

    def select(self, rows: torch.Tensor, lengths: torch.Tensor | None = None) -> None:
        """Go on with these rows. At first they are prompts in any order, each as often as it is to be continued, from its first
        `lengths` tokens, (rows,), or from its end; later such rows as are still there, in their order."""
        if self.groups:
            self._keep(rows)
            return
        self.positions, mask = self.beginnings(rows, lengths)
        place = 0
        for count, even in stretches(rows.tolist()):
            part = slice(place, place + count)
            seen = None if not bool(mask[part].any()) else mask[part]
            self.groups.append(Group(rows[part], even, seen, queries=self.layers[0].queries, spare=self.spare))
            self.sizes.append(count)
            place += count
        while self.read:
            read = self.read.pop(0)
            for group in self.groups:
                group.add_layer(read)

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """Append one embedding to each row, (rows, width); returns the hidden states, (rows, width)."""
        cos, sin = (part[:, 0] for part in self.rotary(x[:, None], self.positions[:, None]))
        for group in self.groups:
            group.make_room(self.appended)
        for place, layer in enumerate(self.layers):
            parts = zip(self.groups, *(part.split(self.sizes) for part in layer.heads(x, cos, sin)), strict=True)
            attended = [group.attend(place, *part, self.appended, layer.scaling) for group, *part in parts]
            x = layer.rest(x, attended[0] if len(attended) == 1 else torch.cat(attended))
        self.appended += 1
        self.positions = self.positions + 1
        return self.final(x)

    def final(self, x: torch.Tensor) -> torch.Tensor:
        return norm(self.llama.norm, x)

    def beginnings(self, rows: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The next position of rows that continue prompts from their first `lengths` tokens, (rows,), or from their end, and
        what they may look at of what was read: (rows, tokens), 0 or -inf."""
        longest, begin = self.read[0].shape[3], self.padding[rows]
        lengths = longest - begin if lengths is None else lengths
        columns = torch.arange(longest, device=rows.device)
        begun = (columns < self.shared) | (columns >= (self.shared + begin)[:, None])
        unseen = ~begun | (columns >= (begin + lengths)[:, None])
        mask = torch.zeros(unseen.shape, dtype=self.read[0].dtype, device=rows.device)
        return lengths, mask.masked_fill(unseen, -torch.inf)

    def _keep(self, rows: torch.Tensor) -> None:
        self.positions = self.positions[rows]
        bounds = torch.tensor([0, *self.sizes], device=rows.device).cumsum(0).tolist()
        kept = [rows[(rows >= start) & (rows < end)] - start for start, end in pairwise(bounds)]
        left = [(group, part) for group, part in zip(self.groups, kept, strict=True) if len(part)]
        for group, part in left:
            group.keep(part)
        self.groups, self.sizes = [group for group, _ in left], [len(part) for _, part in left]

    def rotary(self, x: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin, (rows, tokens, 1, width of a head); the sign of the half rotation stands in sin."""
        cos, sin = self.llama.rotary_emb(x, position_ids=positions)
        half = sin.shape[-1] // 2
        return cos[:, :, None], torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)[:, :, None]


def stretches(prompts: Sequence[int]) -> list[tuple[int, int]]:
    """(rows, rows of each prompt) of the stretches that rows fall into where a stretch continues each of its prompts equally
    often, the prompt's rows beside each other; where that saves nothing, every row stands for itself."""
    runs = [len(list(same)) for _, same in groupby(prompts)]
    found: list[tuple[int, int]] = []
    for even, same in groupby(runs):
        count = even * len(list(same))
        even = even if count >= FEW else 1
        if even == 1 and found and found[-1][1] == 1:
            count += found.pop()[0]
        found.append((count, even))
    return found


class _Layer:
    """Implements `AnyLayer` for whatever stands in the layer's places."""

    def __init__(self, layer: LlamaDecoderLayer, *, pack: bool):
        attention = layer.self_attn
        self.layer, self.width, self.scaling = layer, attention.head_dim, attention.scaling
        self.queries = int(attention.num_key_value_groups)
        self.shared = int(attention.config.num_attention_heads) // self.queries
        self.qkv = beside([attention.q_proj, attention.k_proj, attention.v_proj], pack=pack)
        self.out = onto(attention.o_proj, pack=pack)
        self.mlp = gated_onto(layer.mlp, pack=pack)

    def heads(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> list[torch.Tensor]:
        qkv = self.qkv(norm(self.layer.input_layernorm, x)).unflatten(-1, (-1, self.width))
        both = qkv[..., : -self.shared, :]
        both = torch.addcmul(both * cos, both.roll(self.width // 2, dims=-1), sin)
        return [both[..., : -self.shared, :], both[..., -self.shared :, :], qkv[..., -self.shared :, :]]

    def rest(self, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        x = self.out(attended, x)
        return self.mlp(norm(self.layer.post_attention_layernorm, x), x)


def norm(by: LlamaRMSNorm, x: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, by.weight.shape, by.weight, by.variance_epsilon)
