"""Prompts that are read together: their tokens in one line without padding, what they share once, and attention among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Shared:
    """Beginnings of prompts, embeddings (beginnings, tokens, width), and `of`, (prompts,), which of them each prompt goes on.

    `mask` (tokens, tokens), bool, is what may look at what in a beginning, where that is not causal.
    """

    beginnings: torch.Tensor
    of: torch.Tensor
    mask: torch.Tensor | None = None

    @property
    def tokens(self) -> int:
        """Of each beginning."""
        return self.beginnings.shape[1]


class PromptRows:
    """`x` (tokens, width) are the tokens of all beginnings and then of all prompts, `positions` (tokens,) theirs.

    A row of keys and values is a prompt's beginning, then `padding` (prompts,) empty columns, and then its own tokens.
    """

    def __init__(self, prompts: Sequence[torch.Tensor], shared: Shared | None, until: int | None = None):
        """`prompts` are embeddings, each (tokens, width), of what follows the beginnings; at least one token each. Where they all
        end before one position, `until` says which; else each begins at 0, or behind its beginning."""
        device = prompts[0].device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self.longest = int(lengths.max())
        self.padding = self.longest - lengths
        self.shared = shared
        self.before = 0 if shared is None else shared.tokens
        self.begun = 0 if shared is None else shared.beginnings[..., 0].numel()
        columns = torch.arange(self.before + self.longest, device=device)
        own = columns[: self.longest] - self.padding[:, None]
        self.real = own >= 0
        self.even = bool(self.real.all())
        self.x = torch.cat(list(prompts))
        self.positions = own[self.real] + self.before
        if until is not None:
            self.positions = columns[: self.longest].expand_as(own)[self.real] + until - self.longest
        if shared is not None:
            self.x = torch.cat([shared.beginnings.flatten(0, 1), self.x])
            self.positions = torch.cat([columns[: self.before].repeat(len(shared.beginnings)), self.positions])
        self.ends = self.begun + lengths.cumsum(0) - 1
        self.seen = None if self.even else F.pad(self.real, (self.before, 0), value=True)[:, None, None]
        self.mask = None
        if self.before or self.seen is not None:
            causal = columns[self.before :, None] >= columns
            self.mask = causal if self.seen is None else causal & self.seen

    def rows(self, kv: torch.Tensor) -> torch.Tensor:
        """Keys and values of all tokens, (2, tokens, heads, width of a head), as rows, (2, prompts, heads, columns, width of a
        head)."""
        own = torch.stack([self._padded(part) for part in kv[:, self.begun :]])
        if self.shared is None:
            return own.transpose(2, 3)
        begun = kv[:, : self.begun].unflatten(1, (-1, self.before)).index_select(1, self.shared.of)
        return torch.cat([begun, own], dim=2).transpose(2, 3)

    def attend(self, q: torch.Tensor, kv: torch.Tensor, rows: torch.Tensor, scaling: float) -> torch.Tensor:
        """What all tokens attend to, (tokens, queries * width of a head), with `q` (tokens, queries, width of a head)."""
        own = self._padded(q[self.begun :]).transpose(1, 2)
        attended = _attention(own, rows, self.mask, scaling, causal=self.mask is None).transpose(1, 2)
        flat = attended.flatten(0, 1) if self.even else attended[self.real]
        if self.shared is not None:
            begun_q = q[: self.begun].unflatten(0, (-1, self.before)).transpose(1, 2)
            begun_kv = kv[:, : self.begun].unflatten(1, (-1, self.before)).transpose(2, 3)
            seen = self.shared.mask
            begun = _attention(begun_q, begun_kv, seen, scaling, causal=seen is None)
            flat = torch.cat([begun.transpose(1, 2).flatten(0, 1), flat])
        return flat.flatten(1)

    def attend_at_ends(self, q: torch.Tensor, rows: torch.Tensor, scaling: float) -> torch.Tensor:
        """The same for the last token of each prompt, (prompts, queries * width of a head), with `q` of all tokens."""
        return _attention(q[self.ends][:, :, None], rows, self.seen, scaling).flatten(1)

    def _padded(self, own: torch.Tensor) -> torch.Tensor:
        """(the prompts' own tokens, ...) as (prompts, longest, ...), 0 where there are none."""
        if self.even:
            return own.unflatten(0, (-1, self.longest))
        padded = own.new_zeros(*self.real.shape, *own.shape[1:])
        padded[self.real] = own
        return padded


def _attention(
    q: torch.Tensor, kv: torch.Tensor, mask: torch.Tensor | None, scaling: float, *, causal: bool = False
) -> torch.Tensor:
    """Of q (rows, queries, tokens, width of a head) to kv (2, rows, heads, columns, width of a head). A query that sees nothing
    makes NaN, which nobody reads."""
    k, v = kv
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scaling, enable_gqa=q.shape[1] > k.shape[1])
