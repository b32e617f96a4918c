"""A step of the decoder that is the same work on the same memory every time, so that an accelerator can be handed it at once.

A GPU computes a step of a small batch in less time than its kernels take to be launched one by one from Python; a CUDA graph
launches them together. What it was captured with is what it does again: shapes, addresses, and nothing that asks the host.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlamaModel

from suder_bench.models.decoder import Decoder
from suder_bench.models.packed import hooked

WINDOW = 96
"""Steps for which one captured step serves: it looks at all columns that the last of them fills, so that half a window is read
in vain on average, and each window costs a capture, about as long as two steps."""

ALIGNED = 8
"""A multiple of so many columns is what torch's fused attention takes a mask of without copying it."""

CHANGING = ("dynamic", "longrope")
"""Rotary embeddings that look at how long the sequence is, on the host."""


class StaticDecoder(Decoder):
    """`Decoder` without groups: keys and values of every row stand in one tensor of full length, masked by position.

    `spare` steps at most. `look` must be called before the first step of each window.
    """

    def __init__(self, llama: LlamaModel, *, spare: int):
        super().__init__(llama, spare=spare)
        self.cache: list[torch.Tensor] = []  # one a layer: (2, rows, heads, columns, width of a head)
        self.mask = torch.empty(0)  # (rows, columns), -inf where a row may not look
        self.columns = torch.empty(0)  # (columns,), their numbers
        self.column = torch.empty(0)  # (1,), the next to be filled
        self.before = self.seen = 0

    def select(self, rows: torch.Tensor, lengths: torch.Tensor | None = None) -> None:
        """Go on with these prompts, each from its first `lengths` tokens, (rows,), or from its end; once only."""
        begun, mask = self.beginnings(rows, lengths)
        self.positions = begun.clone()  # which every step changes where it is
        self.before = mask.shape[1]
        more = -(-(self.before + self.spare) // ALIGNED) * ALIGNED - self.before
        self.mask = F.pad(mask, (0, more))
        self.columns = torch.arange(self.before + more, device=rows.device)
        self.column = torch.tensor([self.before], device=rows.device)
        while self.read:
            self.cache.append(F.pad(self.read.pop(0)[:, rows], (0, 0, 0, more)))

    def look(self, steps: int) -> None:
        """Look at what so many steps in all will have filled."""
        self.seen = min(-(-(self.before + steps) // ALIGNED) * ALIGNED, len(self.columns))

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """Append one embedding to each row, (rows, width); returns the hidden states, (rows, width)."""
        cos, sin = (part[:, 0] for part in self.rotary(x[:, None], self.positions[:, None]))
        filled = self.columns[: self.seen] <= self.column
        mask = self.mask[:, : self.seen].masked_fill(~filled, -torch.inf)[:, None, None]
        for layer, cache in zip(self.layers, self.cache, strict=True):
            q, k, v = layer.heads(x, cos, sin)
            keys, values = cache
            keys.index_copy_(2, self.column, k[:, :, None])
            values.index_copy_(2, self.column, v.to(values.dtype)[:, :, None])
            attended = F.scaled_dot_product_attention(
                q[:, :, None],
                keys[:, :, : self.seen],
                values[:, :, : self.seen],
                mask,
                scale=layer.scaling,
                enable_gqa=layer.queries > 1,
            )
            x = layer.rest(x, attended.flatten(1))
        self.column += 1
        self.positions += 1
        return self.final(x)


def capturable(*modules: nn.Module) -> bool:
    """Whether what these modules compute can be captured: on CUDA, by nothing but their own plain weights."""
    weights = [weight for module in modules for weight in module.parameters()]
    inner = [one for module in modules for one in module.modules()]
    return (
        all(weight.device.type == "cuda" and type(weight) is nn.Parameter for weight in weights)
        and not any(hooked(one) for one in inner)
        and not any(getattr(one, "rope_type", None) in CHANGING for one in inner)
        and not torch.is_autocast_enabled("cuda")
    )


class Captured:
    """Work in a CUDA graph: `record` captures it, without doing it, and a call does it.

    It must have been done before, since libraries set themselves up at their first use.
    """

    def __init__(self, work: Callable[[], None], device: torch.device):
        """`device` is where the work is: a graph is captured on the current device, which may be another."""
        self.work = work
        self.device, self.stream = device, torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()
        self.graph = torch.cuda.CUDAGraph()

    def record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        # Other threads of this process (judges) may use the device meanwhile.
        with (
            torch.cuda.device(self.device),
            torch.cuda.stream(torch.cuda.current_stream(self.device)),  # put back also where capturing fails
            torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"),
        ):
            self.work()
        self.graph = graph

    def __call__(self) -> None:
        self.graph.replay()


def recorded(captured: Captured) -> Captured | None:
    """The same with its work captured, or None with a warning where this machine's CUDA refuses: work is done without, then."""
    try:
        captured.record()
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        warnings.warn(f"drawing goes on without a CUDA graph, to the same tokens but slower ({reason})", stacklevel=2)
        return None
    return captured
