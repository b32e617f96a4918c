"""Linear layers made ready for one sampling: what the modules give, on any rows and threads, or the modules themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from models.tiny import tiny_janus_model
from torch import nn

from suder_bench.models import packed
from suder_bench.models.packed import beside, gated_onto, image_head, onto, worth_packing


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_graph() -> Iterator[None]:
    with torch.no_grad():
        yield


model = tiny_janus_model()
packs = pytest.mark.skipif(not worth_packing(model), reason="a processor that nothing is packed for")


@pytest.mark.parametrize("pack", [False, pytest.param(True, marks=packs)])
def test_products_are_those_of_the_modules(pack: bool) -> None:
    layer = model.model.language_model.layers[0]
    attention, mlp, head = layer.self_attn, layer.mlp, model.model.generation_head
    x, y = torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    three = [attention.q_proj, attention.k_proj, nn.Linear(32, 7)]
    close = torch.testing.assert_close
    close(beside(three, pack=pack)(x), torch.cat([one(x) for one in three], dim=-1), atol=1e-5, rtol=1e-5)
    close(onto(attention.o_proj, pack=pack)(x, y), y + attention.o_proj(x), atol=1e-5, rtol=1e-5)
    close(gated_onto(mlp, pack=pack)(x, y), y + mlp(x), atol=1e-5, rtol=1e-5)
    close(image_head(head, pack=pack)(x), head(x), atol=1e-5, rtol=1e-5)


@packs
def test_the_parts_of_a_janus_are_packed() -> None:
    """What is copied is not looked at again."""
    janus = tiny_janus_model()
    layer, head = janus.model.language_model.layers[0], janus.model.generation_head
    x = torch.randn(3, 32)
    mlp, out = gated_onto(layer.mlp, pack=True), onto(layer.self_attn.o_proj, pack=True)
    logits = image_head(head, pack=True)
    before = mlp(x, x), out(x, x), logits(x)
    for module in (layer, head):
        for weight in module.parameters():
            weight.zero_()
    assert all(torch.equal(*pair) for pair in zip(before, (mlp(x, x), out(x, x), logits(x)), strict=True))


@packs
def test_a_row_depends_neither_on_the_others_nor_on_threads(threads: None) -> None:
    product = beside([nn.Linear(192, 576)], pack=True)
    x = torch.randn(64, 192)
    whole = product(x)
    for count in (1, 2):
        torch.set_num_threads(count)
        assert all(torch.equal(product(x[:rows]), whole[:rows]) for rows in (1, 2, 3, 5, 16, 31, 64))


@packs
def test_what_is_no_plain_layer_is_called() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    called: list[int] = []
    hooked = nn.Linear(4, 4)
    hooked.register_forward_hook(lambda *_: called.append(1))
    x = torch.randn(3, 4)
    for layer in (Doubled(4, 4), hooked, nn.Linear(4, 4).double()):
        same = x.to(layer.weight.dtype)
        assert torch.equal(beside([layer], pack=True)(same), layer(same))
        assert torch.equal(onto(layer, pack=True)(same, same), same + layer(same))
    assert len(called) == 4


def test_large_models_and_other_precisions_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not worth_packing(model)
    monkeypatch.setattr(packed, "MUCH", sum(weight.nbytes for weight in model.parameters()) - 1)
    assert not worth_packing(model)
    assert not worth_packing(nn.Linear(2, 2, device="meta"))


@packs
def test_a_torch_without_the_product_computes_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worth_packing(model)
    packed._packs.cache_clear()
    monkeypatch.setattr(packed.Packed, "__call__", lambda self, x: torch.ops.mkldnn._no_such_product(x))
    assert not worth_packing(model)
    monkeypatch.undo()
    packed._packs.cache_clear()
    assert worth_packing(model)
