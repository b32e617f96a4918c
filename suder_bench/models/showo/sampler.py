"""Drawing pictures by unmasking their codes in steps, as the authors' sampler does, and from the same random numbers.

A step reads the codes drawn so far, all at once. What stands before a picture sees nothing of it: its keys and values are read
once and serve every step. The padding, which nothing sees, is not read at all, and the prefix that all unconditional rows share
is read once for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import PhiForCausalLM

from suder_bench.models.protocols import ImageSampling
from suder_bench.models.sampling import check_numbers, distinct, numbers
from suder_bench.models.showo.layout import Ids, code_ids, prompt_ids
from suder_bench.models.showo.phi import PhiDecoder

LEAST = 1e-20
"""What stands for a probability or a random number below it, before its logarithm is taken."""

UNKNOWN = -1
"""The code of a place that is not drawn yet."""


@torch.no_grad()
def draw_codes(
    network: PhiForCausalLM,
    prompts: Sequence[Sequence[int]],
    *,
    ids: Ids,
    codes: int,
    image_tokens: int,
    prefix: int,
    seeds: Sequence[int],
    sampling: ImageSampling,
    steps: int,
) -> torch.Tensor:
    """Codes (samples, image_tokens), int64, on the CPU, after `prompts` of `layout.prompt_ids`, which end before position
    `prefix`.

    Guidance w combines u + w (c - u), u being of the empty prompt. Every sample has a generator of its own, on the model's
    device, and draws what the authors' function would draw with it. Raises `NoNumbersError` when logits are not finite.
    """
    drawing = _Drawing(network, prompts, ids, image_tokens, prefix, sampling.weight)
    pictures = [_Picture(image_tokens, steps, sampling.temperature, seed, network.device) for seed in seeds]
    weight, bias = visual_head(network, ids, codes)
    for k in range(steps):
        hidden = drawing.read(torch.stack([one.codes for one in pictures]))
        for i, one in enumerate(pictures):
            unknown = one.unknown
            logits = F.linear(hidden[i][:, unknown], weight, bias).float()
            mixed = logits[0] if len(logits) == 1 else sampling.weight * logits[0] - (sampling.weight - 1) * logits[1]
            check_numbers(numbers(mixed), "the logits of image tokens")
            one.step(k, unknown, mixed)
    return torch.stack([one.drawn for one in pictures]).cpu()


def visual_head(network: PhiForCausalLM, ids: Ids, codes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the vocabulary head for the codes alone."""
    part = slice(ids.first_code, ids.first_code + codes)
    return network.lm_head.weight[part], network.lm_head.bias[part]


class _Drawing:
    """What the steps of a batch have in common: the prefixes' keys and values, conditional rows first."""

    def __init__(
        self,
        network: PhiForCausalLM,
        prompts: Sequence[Sequence[int]],
        ids: Ids,
        image_tokens: int,
        prefix: int,
        guidance: float,
    ):
        self.network, self.ids = network, ids
        self.decoder = PhiDecoder(network.model, spare=1)
        rows, place = distinct([*prompts, prompt_ids([], ids, prefix)], network.device)
        embed = network.model.embed_tokens
        self.decoder.start([embed(torch.tensor(row, device=network.device)) for row in rows], until=prefix)
        self.sides = [self._side(place[:-1])]
        if guidance != 1:
            self.sides.append(self._side(place[-1:].expand(len(prompts))))
        places = prefix + torch.arange(image_tokens + 2, device=network.device)
        self.turns = self.decoder.rotary(self.decoder.read[0], places[None])
        for side in self.sides:
            side.look(image_tokens + 2)
        self.decoder.read.clear()

    def read(self, codes: torch.Tensor) -> torch.Tensor:
        """Hidden states of the places of `codes` (samples, image tokens), (samples, conditional or not, image tokens, width)."""
        begin, end = (codes.new_full((len(codes), 1), one) for one in (self.ids.soi, self.ids.eoi))
        rows = torch.cat([begin, code_ids(codes, self.ids), end], dim=1)
        x = self.network.model.embed_tokens(rows).repeat(len(self.sides), 1, 1)
        for number, layer in enumerate(self.decoder.layers):
            parts = [part.transpose(1, 2).chunk(len(self.sides)) for part in layer.heads(x, *self.turns)]
            attended = [
                side.attend(number, q, k, v, layer.scaling, gqa=layer.queries > 1)
                for side, q, k, v in zip(self.sides, *parts, strict=True)
            ]
            x = layer.rest(x, torch.cat(attended).transpose(1, 2).flatten(2))
        return self.decoder.final(x)[:, 1:-1].unflatten(0, (len(self.sides), -1)).transpose(0, 1)

    def _side(self, place: torch.Tensor) -> _Side:
        padding = self.decoder.padding[place]
        unread = int(padding.min())
        return _Side([layer[:, place, :, unread:] for layer in self.decoder.read], padding - unread)


@dataclass
class _Side:
    """Rows of one kind: keys and values of their prefixes by layer, (2, rows, heads, tokens, width of a head), and `padding`
    (rows,), the columns of each row that nothing looks at."""

    before: list[torch.Tensor]
    padding: torch.Tensor
    mask: torch.Tensor | None = None

    def look(self, columns: int) -> None:
        """Get ready for so many columns more, which all look at each other."""
        if bool(self.padding.any()):
            all_columns = torch.arange(self.before[0].shape[3] + columns, device=self.padding.device)
            self.mask = (all_columns >= self.padding[:, None])[:, None, None]

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scaling: float, *, gqa: bool) -> torch.Tensor:
        """Of the places of a picture, each (rows, heads, places, width of a head), to the prefix and to each other."""
        keys, values = (torch.cat(pair, dim=2) for pair in zip(self.before[layer], (k, v), strict=True))
        return F.scaled_dot_product_attention(q, keys, values, self.mask, scale=scaling, enable_gqa=gqa)


class _Picture:
    """`codes` (image tokens,) as far as they are drawn, and `drawn`, all of them as the last step drew them."""

    def __init__(self, image_tokens: int, steps: int, temperature: float, seed: int, device: torch.device):
        self.codes = torch.full((image_tokens,), UNKNOWN, device=device)
        self.drawn = self.codes
        self.steps, self.temperature, self.noise = steps, temperature, temperature
        self.generator = torch.Generator(device).manual_seed(seed)

    @property
    def unknown(self) -> torch.Tensor:
        """The places that are not drawn yet, at least one until the last step is done."""
        return (self.codes == UNKNOWN).nonzero()[:, 0]

    def step(self, k: int, unknown: torch.Tensor, logits: torch.Tensor) -> None:
        """Draw the codes of the `unknown` places from `logits` (places, codes), float32, and forget those of least confidence
        again."""
        probabilities = torch.softmax(logits if self.temperature == 0 else logits / self.temperature, dim=-1)
        if self.temperature == 0:
            found = logits.argmax(dim=-1)
        else:  # the authors draw at all places, and throw away what they know
            everywhere = probabilities.new_ones(len(self.codes), probabilities.shape[1])
            everywhere[unknown] = probabilities
            found = torch.multinomial(everywhere, 1, generator=self.generator)[unknown, 0]
        self.drawn = self.codes.index_copy(0, unknown, found)
        confidence = torch.full(self.codes.shape, torch.finfo(probabilities.dtype).max, device=self.codes.device)
        confidence[unknown] = probabilities.gather(1, found[:, None])[:, 0]
        ratio = (k + 1) / self.steps
        left = int((len(self.codes) * torch.cos(torch.tensor(ratio) * math.pi * 0.5)).floor())
        forgotten = max(1, min(len(unknown) - 1, left))
        self.noise *= 1 - ratio  # multiplied on, not begun anew from the first temperature as in MaskGIT
        uniform = torch.zeros_like(confidence).uniform_(0, 1, generator=self.generator)
        score = _log(confidence) - self.noise * _log(-_log(uniform))
        threshold = score.sort().values[forgotten]
        self.codes = torch.where(score < threshold, UNKNOWN, self.drawn)


def _log(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(min=LEAST).log()
