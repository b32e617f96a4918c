"""Writing answers with the cached decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from suder_bench.models.decoder import Decoder
from suder_bench.models.prompt_rows import Shared
from suder_bench.models.protocols import TextSampling
from suder_bench.models.sampling import check_numbers, choose, noise_of, numbers

TEXT_COLUMNS = 64
"""Cache columns that an answer is given at a time: most answers are short, and the limit may be thousands."""


@torch.no_grad()
def write_tokens(
    text_model: Any,
    head: torch.nn.Module,
    prompts: Sequence[torch.Tensor],
    place: torch.Tensor,
    *,
    positions: int,
    seeds: Sequence[int],
    sampling: TextSampling,
    ends: set[int],
    suppressed: Sequence[int] = (),
    shared: Shared | None = None,
    kind: type[Decoder] = Decoder,
) -> list[list[int]]:
    """Answers as ids, without the end token. Sample i follows the embeddings `prompts[place[i]]`, each (tokens, width), which go
    on what is `shared`; `head` turns hidden states of `text_model`, which a decoder of that `kind` reads, into logits.

    `suppressed` ids are never written. A finished row leaves the batch once half of the rows have finished. An answer ends
    where the `positions` that the model was made for do. Raises `NoNumbersError` when logits are not finite.
    """
    decoder = kind(text_model, spare=TEXT_COLUMNS)
    hidden = decoder.start(prompts, shared)[place]
    decoder.select(place)
    written: list[list[int]] = [[] for _ in seeds]
    noise = noise_of(seeds, sampling.max_new_tokens, place.device)
    going = list(range(len(seeds)))  # the sample in each row of the batch
    done = [False] * len(seeds)
    before = 0 if shared is None else shared.tokens
    room = [positions + 1 - before - len(prompts[row]) for row in place.tolist()]
    for k in range(sampling.max_new_tokens):
        logits = head(hidden).float()
        unfinished = torch.tensor([not done[sample] for sample in going], device=place.device)
        check_numbers(numbers(logits) | ~unfinished, "the logits of an answer's tokens")
        logits[:, list(suppressed)] = -torch.inf
        tokens = choose(logits, sampling.temperature, noise[going, k])
        for sample, token in zip(going, tokens.tolist(), strict=True):
            done[sample] = done[sample] or token in ends
            if not done[sample]:
                written[sample].append(token)
                done[sample] = len(written[sample]) >= room[sample]
        alive = [row for row, sample in enumerate(going) if not done[sample]]
        if not alive or k + 1 == sampling.max_new_tokens:
            break
        if 2 * len(alive) <= len(going):
            decoder.select(torch.tensor(alive, device=place.device))
            tokens, going = tokens[alive], [going[row] for row in alive]
        hidden = decoder.step(text_model.embed_tokens(tokens))
    return written
