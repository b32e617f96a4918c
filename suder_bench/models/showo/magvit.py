"""Show-o's image tokenizer, MAGVIT-v2 with a lookup-free quantiser: a code is the signs of its bits.

Names and shapes of the weights are those of the published file. It stays in float32 whatever the language model is computed in:
a code is a sum of powers of two, and a bit is the sign of a number near zero.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from suder_bench.models.showo.sizes import MagvitSizes
from suder_bench.models.threads import in_equal_parts, together


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, groups: int):
        super().__init__()
        self.norm1, self.conv1 = _norm(inputs, groups), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = _norm(outputs, groups), nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class _Attention(nn.Module):
    """One head over all places."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.norm = _norm(channels, groups)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm(x)
        q, k, v = (part(normed).flatten(2).transpose(1, 2) for part in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.proj_out(attended)


class _Middle(nn.Module):
    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.block_1 = _Residual(channels, channels, groups)
        self.attn_1 = _Attention(channels, groups)
        self.block_2 = _Residual(channels, channels, groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class _Half(nn.Module):
    """Half the size: a row and a column of zeros are added below and on the right."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class _Twice(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class _Level(nn.Module):
    """Residual blocks at one size, and what leads to the next, under the name that it has there."""

    def __init__(self, inputs: int, outputs: int, blocks: int, groups: int, after: dict[str, nn.Module]):
        super().__init__()
        self.block = nn.ModuleList(_Residual(inputs if j == 0 else outputs, outputs, groups) for j in range(blocks))
        for name, module in after.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self.children():
            for layer in module if isinstance(module, nn.ModuleList) else [module]:
                x = layer(x)
        return x


class Encoder(nn.Module):
    """Pixels (pictures, 3, height, width) in [-1, 1] to `bits` numbers a place, (pictures, bits, rows, columns)."""

    def __init__(self, sizes: MagvitSizes):
        super().__init__()
        channels, last = sizes.encoder_channels, len(sizes.encoder_channels) - 1
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.down = nn.ModuleList(
            _Level(before, width, blocks, sizes.groups, {} if i == last else {"downsample": _Half(width)})
            for i, (before, width, blocks) in enumerate(
                zip((channels[0], *channels), channels, sizes.encoder_blocks, strict=False)
            )
        )
        self.mid = _Middle(channels[-1], sizes.groups)
        self.norm_out = _norm(channels[-1], sizes.groups)
        self.conv_out = nn.Conv2d(channels[-1], sizes.bits, 3, padding=1)
        self.quant_conv = nn.Conv2d(sizes.bits, sizes.bits, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(pixels)
        for level in self.down:
            x = level(x)
        made: torch.Tensor = self.quant_conv(self.conv_out(F.silu(self.norm_out(self.mid(x)))))
        return made


class Decoder(nn.Module):
    """Vectors of signs (pictures, bits, rows, columns) to pixels (pictures, 3, height, width), not clamped."""

    def __init__(self, sizes: MagvitSizes):
        super().__init__()
        channels = sizes.decoder_channels
        self.conv_in = nn.Conv2d(sizes.bits, channels[-1], 3, padding=1)
        self.mid = _Middle(channels[-1], sizes.groups)
        self.up = nn.ModuleList(
            _Level(before, width, blocks, sizes.groups, {"upsample": _Twice(width)} if i else {})
            for i, (before, width, blocks) in enumerate(
                zip((*channels[1:], channels[-1]), channels, sizes.decoder_blocks, strict=True)
            )
        )
        self.norm_out = _norm(channels[0], sizes.groups)
        self.conv_out = nn.Conv2d(channels[0], 3, 3, padding=1)
        self.post_quant_conv = nn.Conv2d(sizes.bits, sizes.bits, 1)

    def forward(self, signs: torch.Tensor) -> torch.Tensor:
        x = self.mid(self.conv_in(self.post_quant_conv(signs)))
        for level in reversed(self.up):
            x = level(x)
        made: torch.Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return made


class Quantizer(nn.Module):
    """Codes and vectors of signs. The buffers are in the published file; nothing is computed with them."""

    embedding: torch.Tensor
    power_vals: torch.Tensor

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits
        self.register_buffer("embedding", self.signs(torch.arange(2**bits)))
        self.register_buffer("power_vals", 2 ** torch.arange(bits - 1, -1, -1))

    def codes(self, numbers: torch.Tensor) -> torch.Tensor:
        """Codes (...,), int64, of numbers (..., bits): the first is the highest bit, set where it is above 0."""
        shifts = torch.arange(self.bits - 1, -1, -1, device=numbers.device)
        return ((numbers > 0).long() << shifts).sum(dim=-1)

    def signs(self, codes: torch.Tensor) -> torch.Tensor:
        """Vectors of -1 and 1, (..., bits), float32, of codes (...,), int64."""
        shifts = torch.arange(self.bits - 1, -1, -1, device=codes.device)
        return ((codes[..., None] >> shifts) & 1).float() * 2 - 1


class Magvit(nn.Module):
    """The whole tokenizer; pictures are square."""

    def __init__(self, sizes: MagvitSizes):
        super().__init__()
        self.sizes = sizes
        self.encoder = Encoder(sizes)
        self.decoder = Decoder(sizes)
        self.quantize = Quantizer(sizes.bits)

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Codes (pictures, tokens), int64, row by row, of pixels (pictures, 3, side, side) in [-1, 1]."""
        if not len(pixels):
            return torch.empty(0, 0, dtype=torch.long)
        return in_equal_parts(self._encoded, pixels.to(self.encoder.conv_in.weight), 1)

    @torch.no_grad()
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Pixels (pictures, 3, side, side), float32, clamped to [-1, 1], of codes (pictures, tokens)."""
        if not len(codes):
            return torch.empty(0, 3, 0, 0)
        side = math.isqrt(codes.shape[1])
        vectors = self.quantize.signs(codes.to(self.decoder.conv_in.weight.device))
        places = vectors.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        return in_equal_parts(self._decoded, places, together(codes.shape[1]))

    def _encoded(self, pixels: torch.Tensor) -> torch.Tensor:
        numbers = self.encoder(pixels.contiguous(memory_format=torch.channels_last))
        return self.quantize.codes(numbers.permute(0, 2, 3, 1)).flatten(1)

    def _decoded(self, signs: torch.Tensor) -> torch.Tensor:
        """Channels stand last, which takes less time on a CPU."""
        pixels: torch.Tensor = self.decoder(signs.contiguous(memory_format=torch.channels_last))
        return pixels.clamp(-1, 1).contiguous()


def _norm(channels: int, groups: int) -> nn.Module:
    return nn.GroupNorm(groups, channels, eps=1e-6)
