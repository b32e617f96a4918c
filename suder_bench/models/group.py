"""Rows of a batch that continue equally often their prompts: keys and values, and attention to them."""

from __future__ import annotations

import torch
import torch.nn.functional as F


class Group:
    """`even` rows of each prompt stand together, and attend to it in one product; a prompt that one row alone continues stands
    before what is appended to that row.

    Batches of matrices are (rows * heads of the keys, ...), and queries that share a key stand beside each other.
    """

    def __init__(self, prompts: torch.Tensor, even: int, mask: torch.Tensor | None, *, queries: int, spare: int):
        """`prompts` (rows,) whose prompt a row continues; `mask` (rows, tokens), 0, or -inf where it may not look; as
        many `queries` share a key; `spare` columns are allocated at a time."""
        self.prompts, self.even, self.mask, self.queries, self.spare = prompts, even, mask, queries, spare
        self.tables: list[torch.Tensor] = []  # one a layer, of prompts of several rows: (2, prompts, heads, tokens, width)
        self.cache: list[torch.Tensor] = []  # one a layer: keys and values, (2, rows, heads, columns, width of a head)
        self.before = 0  # columns before what is appended
        self.bias: torch.Tensor | None = None  # the mask, for the scores of the prompts

    def add_layer(self, read: torch.Tensor) -> None:
        """Take a layer's keys and values of all prompts, (2, prompts, heads, tokens, width of a head)."""
        if self.even > 1:
            self.tables.append(read.index_select(1, self.prompts[:: self.even]))
            read = read[:, :, :, :0]
        two, _, heads, self.before, width = read.shape
        cache = read.new_empty(two, len(self.prompts), heads, self.before + self.spare, width)
        cache[:, :, :, : self.before] = read.index_select(1, self.prompts)
        self.cache.append(cache)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these of the rows, in rising order."""
        if self.even > 1:
            joined = [
                torch.cat([t.repeat_interleave(self.even, dim=1), c], dim=3) for t, c in zip(self.tables, self.cache, strict=True)
            ]
            self.before, self.cache, self.tables, self.even = self.tables[0].shape[3], joined, [], 1
        self.prompts, self.mask = self.prompts[rows], None if self.mask is None else self.mask[rows]
        self.cache = [layer[:, rows] for layer in self.cache]
        self.bias = None

    def make_room(self, appended: int) -> None:
        """Allocate where no column is free behind those `appended`."""
        if self.before + appended == self.cache[0].shape[3]:
            self.cache = [F.pad(layer, (0, 0, 0, self.spare)) for layer in self.cache]
            self.bias = None
        if self.bias is None and self.mask is not None:
            self.bias = self._bias(self.mask)

    def attend(
        self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, appended: int, scaling: float
    ) -> torch.Tensor:
        """Append k and v, (rows, heads, width of a head), behind the columns `appended` so far, and attend to all with `q`
        (rows, queries, width of a head). Returns (rows, queries * width of a head).

        Plain products: torch's fused kernel calls one matrix-vector product a head and takes three times as long on a CPU.
        """
        cache, column = self.cache[layer], self.before + appended
        cache[0, :, :, column] = k
        cache[1, :, :, column] = v
        keys, values = cache[:, :, :, : column + 1].flatten(1, 2).unbind()
        queries = q.reshape(len(keys), -1, q.shape[-1])
        if self.even == 1:
            bias = None if self.bias is None else self.bias[:, :, : column + 1]
            return torch.bmm(_softmax(_scores(queries, keys, bias, scaling), values), values).view(len(q), -1)
        read_k, read_v = self.tables[layer].flatten(1, 2).unbind()
        to_prompt = self._back(_scores(self._together(queries), read_k, self.bias, scaling))
        shares = _softmax(torch.cat([to_prompt, _scores(queries, keys, None, scaling)], dim=-1), values)
        to_prompt, to_appended = shares.split([read_k.shape[1], column + 1], dim=-1)
        attended = torch.bmm(to_appended, values) + self._back(torch.bmm(self._together(to_prompt), read_v))
        return attended.view(len(q), -1)

    def _together(self, rows: torch.Tensor) -> torch.Tensor:
        """(rows * heads, queries, a) as (prompts * heads, rows of a prompt * queries, a)."""
        _, queries, width = rows.shape
        heads = self.cache[0].shape[2]
        return rows.view(-1, self.even, heads, queries, width).transpose(1, 2).reshape(-1, self.even * queries, width)

    def _back(self, together: torch.Tensor) -> torch.Tensor:
        """What `_together` made, as it was."""
        _, queries, width = together.shape
        heads, queries = self.cache[0].shape[2], queries // self.even
        return together.view(-1, heads, self.even, queries, width).transpose(1, 2).reshape(-1, queries, width)

    def _bias(self, mask: torch.Tensor) -> torch.Tensor:
        """The mask as `attend` adds it to scores: (rows * heads, 1, columns), or (prompts * heads, rows of a prompt * queries,
        tokens)."""
        heads, tokens = self.cache[0].shape[2], mask.shape[1]
        if self.even == 1:
            return F.pad(mask, (0, self.cache[0].shape[3] - tokens)).repeat_interleave(heads, dim=0)[:, None]
        per_row = mask.view(-1, 1, self.even, 1, tokens).expand(-1, heads, -1, self.queries, -1)
        return per_row.reshape(-1, self.even * self.queries, tokens)


def _scores(queries: torch.Tensor, keys: torch.Tensor, bias: torch.Tensor | None, scaling: float) -> torch.Tensor:
    scores = torch.bmm(queries * scaling, keys.transpose(1, 2))
    return scores if bias is None else scores.add_(bias)


def _softmax(scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype)
