"""Pictures a second of Show-o's sampler against the shape of its authors' loop: python tests/bench/bench_showo.py [--batch 32].

Both draw masked codes in the same steps from the same random weights, at guidance 6, in turns; the median round counts. The
authors' loop reads the whole sequences of both halves in every step, prompts, padding and all, and their whole vocabulary; ours
reads the prompts once, and of the vocabulary the codes. Decoding to pixels is left out on both sides. `same_codes` is whether
both draw the same from one generator, one sample at a time. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.bench_sampler import in_turns
from models.showo.small_showo import TEXT, small_model

from suder_bench.models.protocols import ImageSampling
from suder_bench.models.showo import layout, sampler
from suder_bench.models.showo.model import ShowoModel
from suder_bench.models.showo.sizes import MagvitSizes, ShowoSizes

GUIDANCE = 6.0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--bits", type=int, default=13)
    parser.add_argument("--text-length", type=int, default=128)
    arguments = parser.parse_args(argv)
    phi = {
        "hidden_size": arguments.hidden,
        "intermediate_size": 4 * arguments.hidden,
        "num_hidden_layers": arguments.layers,
        "num_attention_heads": arguments.heads,
    }
    magvit = MagvitSizes((8, 8), (1, 1), (8, 8), (1, 1), bits=arguments.bits, groups=4)
    model = small_model(sizes=ShowoSizes(TEXT, arguments.tokens, arguments.text_length, phi, magvit))
    prompts = [f"a photo of {i} red balls left of {'one more ' * (i % 4)}blue box" for i in range(arguments.batch)]
    steps = arguments.steps

    sampling = ImageSampling(guidance=GUIDANCE, steps=steps)

    def ours() -> torch.Tensor:
        return model.draw(prompts, seeds=range(len(prompts)), sampling=sampling).tokens

    seconds, whole = in_turns(ours, lambda: whole_sequences(model, prompts, 0, steps), arguments.rounds)
    alone = [
        model.draw(prompts[:1], seeds=[seed], sampling=ImageSampling(guidance=GUIDANCE, steps=steps)).tokens for seed in (1, 2)
    ]
    theirs = [whole_sequences(model, prompts[:1], seed, steps) for seed in (1, 2)]
    result = {
        "batch": arguments.batch,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "steps": steps,
        "image_tokens": arguments.tokens,
        "images_per_second": round(arguments.batch / seconds, 3),
        "whole_sequences": round(arguments.batch / whole, 3),
        "ratio": round(whole / seconds, 2),
        "same_codes": all(map(torch.equal, alone, theirs)),
    }
    print(f"{arguments.batch / seconds:.2f} images/s, whole sequences {arguments.batch / whole:.2f}, ratio {whole / seconds:.2f}")
    print(json.dumps(result))
    return 0


@torch.no_grad()
def whole_sequences(model: ShowoModel, prompts: list[str], seed: int, steps: int) -> torch.Tensor:
    """Codes (prompts, image tokens), drawn as the authors' loop is shaped: one generator for the batch, and no cache."""
    size, ids = model.size, model.ids
    generator = torch.Generator(model.network.device).manual_seed(seed)
    asked = [layout.prompt_ids(model.tokenizer.encode(text), ids, size.text_length) for text in prompts]
    asked += [layout.prompt_ids([], ids, size.text_length)] * len(prompts)
    codes = torch.full((len(prompts), size.image_tokens), sampler.UNKNOWN, device=model.network.device)
    mask = layout.drawing_mask(
        layout.drawing_ids(asked, torch.cat([codes, codes]), ids, size.text_length), ids, size.image_tokens
    )
    visual, noise = slice(size.first_code, size.first_code + size.magvit.codes), 1.0
    for k in range(steps):
        rows = layout.drawing_ids(asked, torch.cat([codes, codes]), ids, size.text_length)
        c, u = model.network(rows, attention_mask=mask, use_cache=False).logits.chunk(2)
        logits = (GUIDANCE * c - (GUIDANCE - 1) * u)[:, -size.image_tokens - 1 : -1, visual]
        probabilities = logits.softmax(dim=-1)
        found = torch.multinomial(probabilities.flatten(0, 1), 1, generator=generator).view(codes.shape)
        unknown = codes == sampler.UNKNOWN
        drawn = torch.where(unknown, found, codes)
        confidence = probabilities.gather(2, drawn[..., None])[..., 0].masked_fill(~unknown, torch.finfo(torch.float32).max)
        ratio = (k + 1) / steps
        count = (size.image_tokens * torch.cos(torch.tensor(ratio) * math.pi * 0.5)).floor().long()
        count = torch.minimum(unknown.sum(dim=1, keepdim=True) - 1, count).clamp(min=1)
        noise *= 1 - ratio
        uniform = torch.zeros_like(confidence).uniform_(generator=generator)
        score = confidence.clamp(min=1e-20).log() - noise * (-uniform.clamp(min=1e-20).log()).clamp(min=1e-20).log()
        codes = torch.where(score < score.sort(dim=1).values.gather(1, count), sampler.UNKNOWN, drawn)
    return drawn


if __name__ == "__main__":
    raise SystemExit(main())
