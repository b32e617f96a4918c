"""Drawing pictures with the cached decoder, each sample from its own stream of uniforms.

The grammar of a picture is not left to the model: the codes of a row are drawn among the visual ids alone, its end is given.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from transformers import Emu3ForConditionalGeneration

from suder_bench.models.decoder import Decoder
from suder_bench.models.emu3.likelihood import visual_head
from suder_bench.models.protocols import ImageSampling
from suder_bench.models.sampling import check_numbers, choose, distinct, noise_of, numbers


@torch.no_grad()
def draw_codes(
    model: Emu3ForConditionalGeneration,
    prompts: Sequence[Sequence[int]],
    negative: Sequence[int],
    *,
    height: int,
    width: int,
    visual: torch.Tensor,
    end_of_line: int,
    seeds: Sequence[int],
    sampling: ImageSampling,
) -> torch.Tensor:
    """Codes (samples, height * width), int64, on the CPU, after `prompts`, ids that end with the image wrapper.

    Guidance w combines u + w (c - u), u being the logits after `negative`, which every sample shares and, as in transformers,
    continues with the same codes. Raises `NoNumbersError` when logits are not finite.
    """
    samples, guided = len(prompts), sampling.weight != 1
    rows, place = distinct([*prompts, *([negative] * samples)] if guided else prompts, model.device)
    embed = model.model.text_model.embed_tokens
    decoder = Decoder(model.model.text_model, spare=height * (width + 1))
    hidden = decoder.start([embed(torch.tensor(row, device=model.device)) for row in rows])[place]
    decoder.select(place)
    head, ids = visual_head(model, visual), visual.to(model.device)
    noise = noise_of(seeds, height * width, model.device)
    codes = torch.empty(samples, height * width, dtype=torch.long, device=model.device)
    sound = torch.ones(samples, dtype=torch.bool, device=model.device)
    closing = torch.full((len(place),), end_of_line, device=model.device)
    last = height * width - 1
    for k in range(height * width):
        logits = F.linear(hidden, head).float()
        if guided:
            c, u = logits.chunk(2)
            logits = u + sampling.weight * (c - u)
        sound &= numbers(logits)
        if k in (0, last):  # an accelerator is not made to wait at every step
            check_numbers(sound, "the logits of image tokens")
        codes[:, k] = choose(logits, sampling.temperature, noise[:, k])
        if k < last:
            drawn = ids[codes[:, k]]
            hidden = decoder.step(embed(torch.cat([drawn, drawn]) if guided else drawn))
            if (k + 1) % width == 0:
                hidden = decoder.step(embed(closing))
    return codes.cpu()
