"""The cached decoder: rows that share prompts or continue their beginnings, and rows that leave."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models.tiny import tiny_janus_model

from suder_bench.models.decoder import FEW, Decoder, stretches
from suder_bench.models.prompt_rows import PromptRows, Shared
from suder_bench.models.sampling import shared_beginnings

IDS = [[0, *range(10, 10 + tokens)] for tokens in (7, 3, 12, 5)]


@pytest.mark.parametrize("heads", [2, 4])
@pytest.mark.parametrize(
    "place",
    [[0, 1, 2, 3], [0] * FEW, [0] * 4 + [1] * 4 + [2] * 12, [3, 0, *[1] * FEW, 2, 2, 0], [2, 0, 2, 0, 1]],
    ids=["each its own", "one prompt", "evenly and one more often", "two stretches among others", "mixed"],
)
def test_hidden_states_are_those_of_the_whole_sequence(place: list[int], heads: int) -> None:
    """However rows are grouped, also after some have left."""
    torch.manual_seed(0)
    llama = tiny_janus_model(heads=heads).model.language_model
    llama.config.num_key_value_heads = 2
    llama = type(llama)(llama.config).eval()
    lengths = [len(IDS[prompt]) - row % 2 for row, prompt in enumerate(place)]
    fed = torch.randint(10, 300, (6, len(place)), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        decoder = Decoder(llama, spare=2)
        decoder.start([llama.embed_tokens(torch.tensor(ids)) for ids in IDS])
        decoder.select(torch.tensor(place), torch.tensor(lengths))
        going = list(range(len(place)))
        for k, column in enumerate(fed):
            if k == 3:
                decoder.select(torch.tensor([row for row in going if row % 3]))
                going = [row for row in going if row % 3]
            hidden = decoder.step(llama.embed_tokens(column[going]))
            for row, state in zip(going, hidden, strict=True):
                whole = torch.tensor([[*IDS[place[row]][: lengths[row]], *fed[: k + 1, row].tolist()]])
                torch.testing.assert_close(state, llama(whole).last_hidden_state[0, -1], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("tails", [[3, 3, 3, 3], [4, 1, 6, 2]], ids=["even", "uneven"])
def test_prompts_that_go_on_shared_beginnings(tails: list[int]) -> None:
    """Hidden states at the end of each prompt and of each step, also after rows have left."""
    torch.manual_seed(0)
    llama = tiny_janus_model().model.language_model
    drawn = torch.Generator().manual_seed(1)
    begun, of = torch.randint(10, 300, (2, 9), generator=drawn), [1, 0, 1, 1]
    own = [torch.randint(10, 300, (length,), generator=drawn) for length in tails]
    fed = torch.randint(10, 300, (4, 4), generator=drawn)
    with torch.no_grad():
        decoder = Decoder(llama, spare=2)
        shared = Shared(llama.embed_tokens(begun), torch.tensor(of))
        ends = decoder.start([llama.embed_tokens(ids) for ids in own], shared)
        whole = [torch.cat([begun[which], ids]) for which, ids in zip(of, own, strict=True)]
        for row, state in zip(whole, ends, strict=True):
            torch.testing.assert_close(state, llama(row[None]).last_hidden_state[0, -1], atol=2e-5, rtol=1e-4)
        decoder.select(torch.arange(4))
        going = [0, 1, 2, 3]
        for k, column in enumerate(fed):
            if k == 2:
                decoder.select(torch.tensor([1, 3]))
                going = [1, 3]
            for row, state in zip(going, decoder.step(llama.embed_tokens(column[going])), strict=True):
                ids = torch.cat([whole[row], fed[: k + 1, row]])
                torch.testing.assert_close(state, llama(ids[None]).last_hidden_state[0, -1], atol=2e-5, rtol=1e-4)


def test_stretches() -> None:
    assert stretches([0, 1, 2]) == [(3, 1)]
    assert stretches([0] * FEW + [1] * FEW) == [(2 * FEW, FEW)]
    assert stretches(list(range(32)) + [32] * 32) == [(32, 1), (32, 32)]
    assert stretches([0, 0, 1, 1, 1, 2]) == [(6, 1)]  # too few to share
    assert stretches([0, 0, *[1] * FEW, 2]) == [(2, 1), (FEW, FEW), (1, 1)]


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=1, max_size=12))
def test_beginnings_are_read_with_what_goes_on_with_them(rows: list[list[int]]) -> None:
    read, place, lengths = shared_beginnings(rows, torch.device("cpu"))
    assert [list(read[which][:length]) for which, length in zip(place.tolist(), lengths.tolist(), strict=True)] == rows
    assert not any(a is not b and list(b[: len(a)]) == list(a) for a in read for b in read)


def test_every_token_is_read_once() -> None:
    """Beginnings as often as there are, and no padding."""
    read = PromptRows([torch.ones(length, 2) for length in (1, 4, 2)], Shared(torch.ones(2, 9, 2), torch.tensor([0, 1, 0])))
    assert len(read.x) == 2 * 9 + 1 + 4 + 2
    assert read.positions.tolist() == [*range(9), *range(9), 9, 9, 10, 11, 12, 9, 10]
