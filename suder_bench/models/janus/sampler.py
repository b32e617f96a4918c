"""Drawing image tokens with the cached decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import JanusForConditionalGeneration

from suder_bench.models.decoder import Decoder
from suder_bench.models.lean import LeanDecoder, lean_enough
from suder_bench.models.packed import image_head, worth_packing
from suder_bench.models.protocols import DrawnTokens, ImageSampling
from suder_bench.models.sampling import check_numbers, choose, noise_of, numbers, shared_beginnings
from suder_bench.models.static import WINDOW, Captured, StaticDecoder, capturable, recorded


def positions_of(model: JanusForConditionalGeneration) -> int:
    """The longest sequence that the language model was made for."""
    return int(model.model.language_model.config.max_position_embeddings)


def unconditional(ids: Sequence[int], *, keep: set[int], pad: int) -> list[int]:
    """The row that guidance compares with: all but begin-of-text and begin-of-image is padding, and all is attended to."""
    return [token if token in keep else pad for token in ids]


@torch.no_grad()
def draw_tokens(
    model: JanusForConditionalGeneration,
    prompts: Sequence[Sequence[int]],
    blanks: Sequence[Sequence[int]],
    *,
    seeds: Sequence[int],
    sampling: ImageSampling,
    return_logprobs: bool = False,
    capture: bool = True,
) -> DrawnTokens:
    """Sample image tokens after `prompts`, ids that end with begin-of-image; `blanks` are their unconditional rows.

    Equal rows are read once. At guidance 1 there are no unconditional rows. On CUDA every step is the same work, which is
    captured with `capture` where it can be: the tokens are the same. Raises `NoNumbersError` when logits are not finite.
    """
    parts = (model.model.language_model, model.model.generation_head)
    drawing = Drawing(
        model,
        [*prompts, *blanks] if sampling.weight != 1 else prompts,
        seeds=seeds,
        sampling=sampling,
        return_logprobs=return_logprobs,
        static=model.device.type == "cuda",
    )
    drawing.draw(capture=capture and capturable(*parts))
    return DrawnTokens(drawing.tokens.cpu(), None if drawing.logprobs is None else drawing.logprobs.cpu())


class Drawing:
    """A batch of pictures on its way; `rows` are the prompts' ids, and under guidance the unconditional rows' behind them.

    What a step reads and writes stands in tensors that stay where they are. With `static` the decoder's does too, and a step
    may be captured in a CUDA graph.
    """

    def __init__(
        self,
        model: JanusForConditionalGeneration,
        rows: Sequence[Sequence[int]],
        *,
        seeds: Sequence[int],
        sampling: ImageSampling,
        return_logprobs: bool,
        static: bool,
    ):
        janus, place, samples = model.model, model.device, len(seeds)
        self.steps = janus.vision_model.config.num_image_tokens
        self.samples, self.sampling = samples, sampling
        llama = janus.language_model
        kind = StaticDecoder if static else LeanDecoder if lean_enough(llama) else Decoder
        self.decoder = kind(llama, spare=self.steps)
        read, which, lengths = shared_beginnings([row[:-1] for row in rows], place)
        embed = janus.language_model.embed_tokens
        self.decoder.start([embed(torch.tensor(row, device=place)) for row in read])
        self.decoder.select(which, lengths)
        self.x = embed(torch.tensor([row[-1] for row in rows], device=place))
        self.head = image_head(janus.generation_head, pack=worth_packing(janus.generation_head))
        self.codes = janus.generation_aligner(janus.generation_embeddings.weight).to(self.x.dtype)
        self.noise = noise_of(seeds, self.steps, place)
        self.k = torch.zeros(1, dtype=torch.long, device=place)
        self.tokens = torch.empty(samples, self.steps, dtype=torch.long, device=place)
        self.logprobs = torch.empty(samples, self.steps, device=place) if return_logprobs else None
        self.sound = torch.ones(samples, dtype=torch.bool, device=place)

    def draw(self, *, capture: bool) -> None:
        """All steps. Raises `NoNumbersError`."""
        step = Captured(self.step, self.tokens.device) if capture else None
        for k in range(self.steps):
            if isinstance(self.decoder, StaticDecoder) and k % WINDOW == 0:
                self.decoder.look(k + WINDOW)
            if step is not None and (k == 1 or (k and k % WINDOW == 0)):
                step = recorded(step)
            if step is None or k == 0:
                self.step()
            else:
                step()
            if k in (0, self.steps - 1):  # an accelerator is not made to wait at every step
                check_numbers(self.sound, "the logits of image tokens")

    def step(self) -> None:
        """Draw the next token of each sample."""
        logits = self.head(self.decoder.step(self.x)).float()
        c = logits[: self.samples]
        mixed = c
        if len(logits) > self.samples:
            u = logits[self.samples :]
            mixed = u + self.sampling.weight * (c - u)
        self.sound &= numbers(mixed)
        uniform = self.noise.index_select(1, self.k.to(self.noise.device))[:, 0]
        chosen = choose(mixed, self.sampling.temperature, uniform)[:, None]
        self.tokens.index_copy_(1, self.k, chosen)
        if self.logprobs is not None:
            self.logprobs.index_copy_(1, self.k, torch.log_softmax(c, dim=-1).gather(1, chosen))
        self.x.unflatten(0, (-1, self.samples)).copy_(self.codes[chosen[:, 0]])
        self.k += 1
