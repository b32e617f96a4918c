"""The text tokenizers: byte-level BPE that can write any text and has a token for each word of the world."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from suder_bench.data.prompts import CHOICE_REQUEST, YES_NO_REQUEST

ALSO = ["Question: Hint: Options: Please answer yes or no. 0 1 2 3 4 5 6 7 8 9"] * 50
"""What benchmarks' prompts say beside the world's words."""


def byte_pairs(texts: Sequence[str], special: Sequence[str], size: int) -> Tokenizer:
    """At most `size` tokens, of which the `special` ones are the first, and two more for what questions end with."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([*texts, *ALSO], trainer)
    # What every question ends with is a token: a fourth of a page's words would say nothing else.
    core.add_tokens([AddedToken(request, normalized=False) for request in (YES_NO_REQUEST, CHOICE_REQUEST)])
    return core
