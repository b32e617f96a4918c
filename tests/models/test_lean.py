"""The decoder of few operations: the same hidden states, and only where all its layers are plain."""

from __future__ import annotations

import pytest
import torch
from models.tiny import tiny_janus_model
from torch import nn
from transformers import LlamaModel

from suder_bench.models.lean import LeanDecoder, lean_enough
from suder_bench.models.packed import worth_packing

IDS = [[0, *range(10, 10 + tokens)] for tokens in (7, 3, 12, 5)]
packs = pytest.mark.skipif(not worth_packing(nn.Linear(2, 2)), reason="no product of packed weights on this processor")


def network(*, heads: int = 4, shared: int = 2, **config: object) -> LlamaModel:
    torch.manual_seed(0)
    found = tiny_janus_model(heads=heads).config.text_config
    found.num_key_value_heads = shared
    for name, value in config.items():
        setattr(found, name, value)
    made = LlamaModel(found).eval()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "norm" in name or "bias" in name:
                weight.copy_(torch.rand_like(weight) + 0.5)
    return made


@packs
@pytest.mark.parametrize(
    ("llama", "prompts"),
    [
        (network(heads=2), [0, 1, 2, 3]),
        (network(), [3, 3, 0, 1, 1]),
        (network(attention_bias=True, mlp_bias=True), [2, 0, 2]),
        (network(rms_norm_eps=0.5), [1, 1]),
    ],
    ids=["a key for each query", "shared keys", "biases", "one prompt and much added to the mean square"],
)
@torch.no_grad()
def test_hidden_states_are_those_of_the_whole_sequence(llama: LlamaModel, prompts: list[int]) -> None:
    assert lean_enough(llama)
    lengths = [len(IDS[prompt]) - row % 2 for row, prompt in enumerate(prompts)]
    fed = torch.randint(10, 300, (4, len(prompts)), generator=torch.Generator().manual_seed(1))
    decoder = LeanDecoder(llama, spare=4)
    decoder.start([llama.embed_tokens(torch.tensor(ids)) for ids in IDS])
    decoder.select(torch.tensor(prompts), torch.tensor(lengths))
    for k, column in enumerate(fed):
        hidden = decoder.step(llama.embed_tokens(column))
        for row, state in enumerate(hidden):
            whole = torch.tensor([[*IDS[prompts[row]][: lengths[row]], *fed[: k + 1, row].tolist()]])
            torch.testing.assert_close(state, llama(whole).last_hidden_state[0, -1], atol=2e-5, rtol=1e-4)


@packs
def test_what_is_not_plain_is_called_as_it_is() -> None:
    assert lean_enough(network())
    assert not lean_enough(network().double())
    hooked, wrapped, other = network(), network(), network()
    hooked.layers[1].self_attn.register_forward_hook(lambda *_: None)
    wrapped.layers[1].mlp.up_proj = nn.Sequential(wrapped.layers[1].mlp.up_proj)
    other.layers[1].input_layernorm = nn.RMSNorm(len(other.norm.weight))
    assert not any(map(lean_enough, (hooked, wrapped, other)))
    assert not lean_enough(network(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}))
