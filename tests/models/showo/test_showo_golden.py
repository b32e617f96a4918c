"""Equality with the authors' code by numbers that it gave: specs of Show-o, section 10, tests 1 to 8."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from models.showo.small_showo import GOLDEN, IDS, SIZES, by_formula, golden_phi, letters
from transformers import PhiConfig, PhiForCausalLM

from suder_bench.models.prompt_rows import Shared
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.models.showo import layout, sampler
from suder_bench.models.showo.magvit import Magvit, Quantizer
from suder_bench.models.showo.phi import PhiDecoder
from suder_bench.models.showo.sizes import MagvitSizes, ShowoSizes
from suder_bench.models.writing import write_tokens

ASK = GOLDEN["mmu"]


@cache
def full_size() -> Magvit:
    made = Magvit(MagvitSizes())
    by_formula(made, 1.0)
    return made


@pytest.mark.slow
def test_the_tokenizer_encodes_as_the_authors_does() -> None:
    image = torch.sin(0.013 * torch.arange(3 * 64 * 64, dtype=torch.float64)).float().view(1, 3, 64, 64)
    found = full_size().encoder(image)[0, :, 0, 0]
    assert full_size().encode(image).tolist() == [GOLDEN["magvit"]["codes"]]
    assert found.tolist() == pytest.approx(GOLDEN["magvit"]["encoder_first"], abs=1e-3)


@pytest.mark.slow
def test_the_tokenizer_decodes_as_the_authors_does() -> None:
    codes = torch.tensor([GOLDEN["magvit"]["decoded"]])
    with torch.no_grad():
        pixels = full_size().decoder(full_size().quantize.signs(codes.view(1, 4, 4)).permute(0, 3, 1, 2))
    assert pixels.mean().item() == pytest.approx(GOLDEN["magvit"]["decoder_mean"], abs=1e-3)
    assert pixels.std().item() == pytest.approx(GOLDEN["magvit"]["decoder_std"], abs=1e-2)
    assert pixels.flatten()[:8].tolist() == pytest.approx(GOLDEN["magvit"]["decoder_first"], abs=1e-3)
    assert torch.allclose(full_size().decode(codes), pixels.clamp(-1, 1), atol=0.2)


def test_the_tokenizer_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        net = Magvit(MagvitSizes())
    held = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert len(held) == 382
    assert sum(value.numel() for value in net.state_dict().values()) == 95_493_513
    assert sum(value.numel() for value in net.encoder.parameters()) == 55_439_171
    assert sum(value.numel() for value in net.decoder.parameters()) == 39_947_833
    assert held == published_shapes()


def published_shapes() -> dict[str, tuple[int, ...]]:
    """From the description of the file, not from our classes."""
    found: dict[str, tuple[int, ...]] = {"quantize.embedding": (8192, 13), "quantize.power_vals": (13,)}

    def conv(name: str, inputs: int, outputs: int, size: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = (outputs, inputs, size, size), (outputs,)

    def norm(name: str, channels: int) -> None:
        found[f"{name}.weight"] = found[f"{name}.bias"] = (channels,)

    def block(name: str, inputs: int, outputs: int) -> None:
        norm(f"{name}.norm1", inputs)
        conv(f"{name}.conv1", inputs, outputs, 3)
        norm(f"{name}.norm2", outputs)
        conv(f"{name}.conv2", outputs, outputs, 3)
        if inputs != outputs:
            conv(f"{name}.nin_shortcut", inputs, outputs, 1)

    for half in ("encoder", "decoder"):
        block(f"{half}.mid.block_1", 512, 512)
        block(f"{half}.mid.block_2", 512, 512)
        norm(f"{half}.mid.attn_1.norm", 512)
        for part in ("q", "k", "v", "proj_out"):
            conv(f"{half}.mid.attn_1.{part}", 512, 512, 1)
        norm(f"{half}.norm_out", 512 if half == "encoder" else 128)
    conv("encoder.conv_in", 3, 128, 3)
    conv("encoder.conv_out", 512, 13, 3)
    conv("encoder.quant_conv", 13, 13, 1)
    conv("decoder.post_quant_conv", 13, 13, 1)
    conv("decoder.conv_in", 13, 512, 3)
    conv("decoder.conv_out", 128, 3, 3)
    before = 128
    for level, (width, blocks) in enumerate(zip((128, 256, 256, 512, 512), (4, 3, 4, 3, 4), strict=True)):
        for j in range(blocks):
            block(f"encoder.down.{level}.block.{j}", before, width)
            before = width
        if level < 4:
            conv(f"encoder.down.{level}.downsample.conv", width, width, 3)
    for level, width, blocks in ((4, 512, 3), (3, 256, 4), (2, 256, 3), (1, 128, 4), (0, 128, 4)):
        for j in range(blocks):
            block(f"decoder.up.{level}.block.{j}", before, width)
            before = width
        if level:
            conv(f"decoder.up.{level}.upsample.conv", width, width, 3)
    return found


def test_the_first_channel_is_the_highest_bit() -> None:
    quantizer = Quantizer(13)
    assert quantizer.signs(torch.tensor(0)).tolist() == [-1.0] * 13
    assert quantizer.signs(torch.tensor(4096)).tolist() == [1.0] + [-1.0] * 12
    assert quantizer.codes(torch.zeros(13)).item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_code_comes_back(dtype: torch.dtype) -> None:
    quantizer = Quantizer(13).to(dtype)
    codes = torch.arange(8192)
    assert quantizer.codes(quantizer.signs(codes).to(dtype)).equal(codes)
    assert quantizer.embedding.to(torch.float32).equal(quantizer.signs(codes))


def prompts() -> list[list[int]]:
    return [layout.prompt_ids(letters(text), IDS, SIZES.text_length) for text in GOLDEN["layout"]["prompts"]]


def test_prompts_become_the_authors_sequences() -> None:
    blank = torch.full((1, SIZES.image_tokens), sampler.UNKNOWN)
    found = [layout.drawing_ids([one], blank, IDS, SIZES.text_length)[0].tolist() for one in prompts()]
    assert found == GOLDEN["layout"]["t2i_ids"]
    assert found[2] == GOLDEN["layout"]["t2i_uncond"]


def test_a_prompt_that_begins_with_the_first_token_gets_no_second_one() -> None:
    assert layout.prompt_ids([IDS.end, 5], IDS, 16) == [IDS.t2i, IDS.end, 5, IDS.end]


def test_the_published_sequence_has_the_published_ids_and_length() -> None:
    for tokens, length in ((256, 387), (1024, 1155)):
        sizes = ShowoSizes(image_tokens=tokens)
        ids = layout.Ids.of(sizes, end=50256)
        assert (ids.pad, ids.soi, ids.eoi, ids.t2i, ids.mmu) == (50295, 50296, 50297, 50300, 50301)
        assert (ids.first_code, ids.mask, sizes.vocabulary) == (50305, 58497, 58498)
        row = layout.drawing_ids([layout.prompt_ids([1, 2], ids, 128)], torch.full((1, tokens), -1), ids, 128)
        assert row.shape == (1, length)
        assert (row[0, 130 : 130 + tokens] == ids.mask).all()


def test_everybody_may_look_where_the_authors_let_them() -> None:
    sequences = torch.tensor(GOLDEN["layout"]["t2i_ids"])
    allowed = layout.drawing_mask(sequences, IDS, SIZES.image_tokens)
    assert allowed[:, 0].sum(-1).tolist() == GOLDEN["layout"]["t2i_mask_allowed_rowsum"]
    pads = sequences == IDS.pad
    assert not (allowed[:, 0] & pads[:, None, :] & ~pads[:, :, None]).any()
    assert allowed.any(-1).all()
    assert allowed[:, 0, -SIZES.image_tokens - 2 :, -SIZES.image_tokens - 2 :].all()


def test_a_question_sees_its_picture_as_the_authors_let_it() -> None:
    in_codes = layout.reading_mask(len(ASK["sequence"]), slice(0, SIZES.image_tokens + 3))
    assert in_codes.sum(-1).tolist() == ASK["mmu_mask_allowed_rowsum"]
    by_clip = layout.reading_mask(612, slice(30, 606)).sum(-1)
    assert {row: by_clip[int(row)].item() for row in ASK["clip_mask_allowed_rowsum"]} == ASK["clip_mask_allowed_rowsum"]


def test_phi_gives_the_authors_logits_of_a_picture() -> None:
    sequences = torch.tensor(GOLDEN["lm"]["sequence"])
    with torch.no_grad():
        logits = golden_phi()(sequences, attention_mask=layout.drawing_mask(sequences, IDS, SIZES.image_tokens)).logits
    found = logits[:, GOLDEN["lm"]["position"], ::73]
    assert torch.allclose(found, torch.tensor(GOLDEN["lm"]["t2i_logits_pos"]), atol=1e-4)


def test_weights_do_not_fit_a_phi_without_norms_of_queries_and_keys() -> None:
    plain = PhiForCausalLM(PhiConfig(**{**SIZES.phi_config().to_dict(), "qk_layernorm": False}))
    with pytest.raises(RuntimeError, match="q_layernorm"):
        plain.load_state_dict(golden_phi().state_dict(), strict=True)


@pytest.mark.parametrize("case", GOLDEN["sampler"]["codes"], ids=lambda case: f"{case['steps']} steps")
def test_the_sampler_draws_the_authors_codes(case: dict[str, Any]) -> None:
    sampling = ImageSampling(guidance=case["official_guidance"] + 1.0)
    assert drawn([prompts()[0]], [GOLDEN["sampler"]["seed"]], sampling, case["steps"]).tolist() == [case["codes"]]


@pytest.mark.parametrize("case", GOLDEN["sampler"]["codes"][1:], ids=lambda case: f"{case['steps']} steps")
def test_the_sampler_draws_them_among_others_too(case: dict[str, Any]) -> None:
    several = [prompts()[2], prompts()[0], prompts()[1], prompts()[0]]
    found = drawn(several, [1, 7, 2, 3], ImageSampling(guidance=case["official_guidance"] + 1.0), case["steps"])
    assert found[1].tolist() == case["codes"]
    assert found[3].tolist() != case["codes"]


def drawn(rows: list[list[int]], seeds: list[int], sampling: ImageSampling, steps: int) -> torch.Tensor:
    return sampler.draw_codes(
        golden_phi(),
        rows,
        ids=IDS,
        codes=SIZES.magvit.codes,
        image_tokens=SIZES.image_tokens,
        prefix=SIZES.prefix,
        seeds=seeds,
        sampling=sampling,
        steps=steps,
    )


def asked() -> tuple[list[int], list[int]]:
    """What stands before the golden question, and the question."""
    before = layout.picture_ids(torch.tensor(ASK["codes"]), IDS)
    return before, [IDS.end, *letters(layout.question_text(ASK["question"], clip=False))]


def test_a_question_becomes_the_authors_sequence() -> None:
    before, question = asked()
    assert before + question == ASK["sequence"]


def test_the_text_likelihood_is_the_authors() -> None:
    before, question = asked()
    row = torch.tensor([before + question])
    with torch.no_grad():
        logits = golden_phi()(row, attention_mask=layout.reading_mask(row.shape[1], slice(0, len(before)))[None, None]).logits[0]
    assert torch.allclose(logits[-1, ::73], torch.tensor(ASK["mmu_last_logits"]), atol=1e-4)
    start = len(before) + 1
    scores = torch.log_softmax(logits[start - 1 : -1], dim=-1).gather(1, row[0, start:, None])
    assert -scores.mean().item() == pytest.approx(ASK["mmu_nll_of_question_tokens"], abs=1e-4)


def test_the_cached_decoder_answers_as_the_authors_loop_without_a_cache() -> None:
    before, question = asked()
    other = question[:9]
    embed = golden_phi().model.embed_tokens
    shared = Shared(embed(torch.tensor([before])), torch.tensor([0, 0]), torch.ones(len(before), len(before), dtype=torch.bool))
    found = write_tokens(
        golden_phi().model,
        golden_phi().lm_head,
        [embed(torch.tensor(other)), embed(torch.tensor(question))],
        torch.tensor([1, 0, 1]),
        positions=256,
        seeds=[0, 0, 0],
        sampling=TextSampling(max_new_tokens=12),
        ends={IDS.end},
        shared=shared,
        kind=PhiDecoder,
    )
    assert found[0] == found[2] == ASK["mmu_out"]
    assert found[1] == without_a_cache(before + other, len(before), 12)
    assert found[0] == without_a_cache(before + question, len(before), 12)


def without_a_cache(row: list[int], picture: int, limit: int) -> list[int]:
    answer: list[int] = []
    while len(answer) < limit:
        ids = torch.tensor([row + answer])
        with torch.no_grad():
            mask = layout.reading_mask(ids.shape[1], slice(0, picture))[None, None]
            token = int(golden_phi()(ids, attention_mask=mask).logits[0, -1].argmax())
        if token == IDS.end:
            break
        answer.append(token)
    return answer
