"""What a plain user of transformers gets wrong of one family, and this adapter must not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from models.vlm.tiny_vlm import QWEN_TEMPLATE
from PIL import Image
from transformers import ChameleonProcessor

from suder_bench.errors import UserError
from suder_bench.models.protocols import LimitsPictures, TextSampling
from suder_bench.models.sampling import NoNumbersError
from suder_bench.models.vlm import likelihood
from suder_bench.models.vlm.batch import extended
from suder_bench.models.vlm.families import FAMILIES, GENERIC, family, served
from suder_bench.models.vlm.model import VlmModel
from suder_bench.models.vlm.prompts import Prompts
from suder_bench.testing import TEXTS, pictures


def half_red(width: int, height: int) -> Image.Image:
    """Red at both ends, which a square cut out of the middle loses, and blue between them."""
    image = Image.new("RGB", (width, height), "blue")
    for left in (0, width - width // 4):
        image.paste((255, 0, 0), (left, 0, left + width // 4, height))
    return image


def test_llava_pads_a_picture_to_a_square_where_its_checkpoint_cuts_the_middle_out(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["llava"]
    assert "do_pad True" in vlm.settings["preprocessing"]
    pixels = vlm.prompts.row([half_red(112, 56)], "Why?")["pixel_values"]
    assert pixels.shape == (1, 3, 28, 28)
    mean, spread = torch.tensor([0.48145466, 0.26862954]), pixels[0, 0, 14]
    red = (1 - mean[0]) / mean[1]
    assert torch.isclose(spread[2], red, atol=0.1)
    assert torch.isclose(spread[-3], red, atol=0.1)
    assert pixels[0, :, 0].abs().max() < 0.02  # the mean colour above and below


def test_llava_pads_too_where_its_checkpoint_names_clips_image_processor(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """As the published ones do: CLIP's keeps do_pad=True among its settings, and cuts the middle out all the same."""
    folder = Path(shutil.copytree(checkpoints["llava"], tmp_path / "llava"))
    content = json.loads((folder / "processor_config.json").read_text())
    pixels = content.pop("image_processor") | {"image_processor_type": "CLIPImageProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(content))
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    vlm, image = VlmModel.load(str(folder)), half_red(112, 56)
    assert vlm.settings["preprocessing"].startswith("LlavaImageProcessorPil, do_pad True")
    padded = VlmModel.load(str(checkpoints["llava"])).prompts.row([image], "Why?")["pixel_values"]
    assert torch.equal(vlm.prompts.row([image], "Why?")["pixel_values"], padded)


def test_qwens_pixel_limits_are_the_checkpoints_and_recorded(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["qwen2_5_vl"]
    assert "longest_edge 1764 shortest_edge 196" in vlm.settings["preprocessing"]
    for side, patches in ((400, 36), (5, 4)):
        grid = vlm.prompts.row([Image.new("RGB", (side, side))], "Why?")["image_grid_thw"]
        assert int(grid.prod()) == patches


def test_qwens_pixel_limits_by_their_older_names(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """As Qwen2.5-VL's published preprocessor_config.json has them."""
    folder = Path(shutil.copytree(checkpoints["qwen2_5_vl"], tmp_path / "qwen"))
    file = folder / "preprocessor_config.json"
    content = {name: value for name, value in json.loads(file.read_text()).items() if name != "size"}
    file.write_text(json.dumps(content | {"min_pixels": 784, "max_pixels": 12_845_056}))
    assert "longest_edge 12845056 shortest_edge 784" in VlmModel.load(str(folder)).settings["preprocessing"]


def test_qwens_answers_are_plain_text_among_the_kinds_of_tokens(loaded: dict[str, VlmModel]) -> None:
    """Without kinds as long as the ids, transformers falls back to positions of plain text without a word."""
    vlm = loaded["qwen2_5_vl"]
    row = vlm.prompts.row(pictures()[:1], "Why?")
    longer = extended(row, [60, 61, 62])
    kinds = longer["mm_token_type_ids"]
    assert kinds.shape == longer["input_ids"].shape == longer["attention_mask"].shape
    assert kinds[0, -3:].tolist() == [0, 0, 0]
    assert int(kinds.sum()) == int((row["mm_token_type_ids"] == 1).sum()) > 0
    assert longer["attention_mask"][0, -3:].tolist() == [1, 1, 1]
    with torch.no_grad():
        right = likelihood.answer_logits(vlm.model, [row], [[60, 61]], vlm._join)[0]
        plain = {name: value for name, value in row.items() if name != "mm_token_type_ids"}
        wrong = likelihood.answer_logits(vlm.model, [plain], [[60, 61]], vlm._join)[0]
    assert (right - wrong).abs().max() > 1e-3


def test_instructblips_q_former_reads_the_question_and_never_the_answer(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["instructblip"]
    row = vlm.prompts.row(pictures()[:1], "Why?")
    assert extended(row, [60, 61])["qformer_input_ids"].equal(row["qformer_input_ids"])
    seen: list[torch.Tensor] = []
    handle = vlm.model.qformer.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    try:
        vlm.text_logprobs(pictures()[:1], TEXTS[:1])
    finally:
        handle.remove()
    reader = vlm.processor.qformer_tokenizer
    assert [reader.decode(ids[0], skip_special_tokens=True) for ids in seen] == ["Describe the image."]


def test_instructblips_q_former_counts_its_positions_from_the_left(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["instructblip"]
    rows = [
        vlm.prompts.row([image], text)
        for image, text in zip(pictures(), ("Why?", "Is there a ball in the picture?"), strict=False)
    ]
    batch = vlm._join(rows)
    assert batch["qformer_attention_mask"][0].tolist() == sorted(batch["qformer_attention_mask"][0].tolist(), reverse=True)
    assert batch["attention_mask"][0].tolist() == sorted(batch["attention_mask"][0].tolist())
    assert batch["attention_mask"][0, 0] == 0


def test_instructblips_query_tokens_stand_before_the_begin_of_text(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["instructblip"]
    ids = vlm.prompts.row(pictures()[:1], "Why?")["input_ids"][0].tolist()
    image = vlm.model.config.image_token_id
    assert ids[:5] == [image] * 4 + [vlm.prompts.tokenizer.bos_token_id]


@pytest.mark.parametrize("name", ["instructblip", "instructblip_t5"])
def test_instructblip_tells_that_it_reads_one_picture(loaded: dict[str, VlmModel], name: str) -> None:
    assert isinstance(loaded[name], LimitsPictures)
    assert loaded[name].question_pictures == (1, 1)
    assert loaded["llava"].question_pictures == (0, None)


def test_a_flan_t5_is_scored_by_its_labels(loaded: dict[str, VlmModel]) -> None:
    """transformers' own loss is the mean over the labels of minus what is scored."""
    vlm = loaded["instructblip_t5"]
    assert likelihood.encoder_decoder(vlm.model)
    assert not likelihood.encoder_decoder(loaded["instructblip"].model)
    with torch.no_grad():
        scored = vlm.text_logprobs(pictures()[:1], TEXTS[:1])[0]
        row = vlm._join([vlm.prompts.row(pictures()[:1], "Describe the image.")])
        labels = torch.tensor([vlm.prompts.tokenizer.encode(TEXTS[0], add_special_tokens=False)])
        loss = vlm.model(**row, labels=labels).loss
    torch.testing.assert_close(-scored.mean(), loss, atol=1e-5, rtol=1e-5)


def test_internvl_cuts_pictures_into_tiles_as_its_processor_does_and_says_so(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["internvl"]
    assert "crop_to_patches True, min_patches 1, max_patches 3" in vlm.settings["preprocessing"]
    wide = vlm.prompts.row([Image.new("RGB", (112, 56))], "Why?")
    assert wide["pixel_values"].shape[0] == 3  # two tiles and the whole
    assert int((wide["input_ids"] == vlm.model.config.image_token_id).sum()) == 12


def test_chameleons_turn_ends_as_its_processor_ends_it(checkpoints: dict[str, Path], loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["chameleon"]
    assert vlm.settings["template"] == "<image>{question}<reserved08706>"
    expected = ChameleonProcessor.from_pretrained(checkpoints["chameleon"])(images=pictures()[0], text="<image>Why?")
    assert torch.equal(vlm.prompts.row(pictures()[:1], "Why?")["input_ids"], expected["input_ids"])


def test_chameleons_texts_share_all_the_probability_and_its_image_tokens_are_refused(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["chameleon"]
    codes = [token for name, token in vlm.model.config.vocabulary_map.items() if name.startswith("IMGIMG")]
    with torch.no_grad():
        row = vlm.prompts.row(pictures()[:1], "Why?")
        shares = torch.softmax(likelihood.answer_logits(vlm.model, [row], [[7]], vlm._join)[0], dim=-1)[0]
        assert float(shares[codes].sum()) == 0
        torch.testing.assert_close(shares.sum(), torch.tensor(1.0))
        with pytest.raises(UserError, match=f"token {codes[0]} of a text is one that the model never writes"):
            vlm.text_logprobs(pictures()[:1], ["IMGIMGAAZ"])


def test_a_prompt_that_begins_itself_is_not_begun_twice(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["llava"]
    begin = vlm.prompts.tokenizer.bos_token_id
    chat = Prompts(vlm.processor, vlm.family, "chat")
    chat.template = "<s>" + QWEN_TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", "<image>")
    for prompts in (vlm.prompts, chat):
        ids = prompts.row(pictures()[:1], "Why?")["input_ids"][0].tolist()
        assert ids[0] == begin
        assert ids.count(begin) == 1


def test_a_question_that_holds_the_sign_of_a_picture_is_refused(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["llava"]
    with pytest.raises(UserError, match="'What is <image>' holds <image>, the sign of a picture for model"):
        vlm.answer([[]], ["What is <image>"], seeds=[0], sampling=TextSampling())
    with pytest.raises(UserError, match="'an <image>' holds <image>"):
        vlm.text_logprobs(pictures()[:1], ["an <image>"])


def test_a_family_without_any_template_is_refused(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["llava"]
    with pytest.raises(UserError, match="model 'strange' has no chat template, and its family none that is known here"):
        VlmModel(vlm.model, vlm.processor, GENERIC, name="strange")


def test_an_unknown_family_is_held_to_its_own_sampler_before_it_scores(loaded: dict[str, VlmModel]) -> None:
    known = loaded["qwen2_5_vl"]
    vlm = VlmModel(known.model, known.processor, GENERIC, name="unknown")
    with torch.no_grad():
        expected, found = known.text_logprobs(pictures(), TEXTS), vlm.text_logprobs(pictures(), TEXTS)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_an_unknown_family_whose_prompt_sees_the_answer_does_not_score(
    loaded: dict[str, VlmModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = loaded["llava"]
    vlm = VlmModel(known.model, known.processor, FAMILIES["llava_next"], name="seer")
    for layer in known.model.model.language_model.layers:
        monkeypatch.setattr(layer.self_attn, "is_causal", False)
    monkeypatch.setattr(
        "transformers.models.llama.modeling_llama.create_causal_mask", lambda *, attention_mask, **_: None, raising=True
    )
    with pytest.raises(
        UserError, match="model 'seer' is of family 'llava', whose answers are not those that its own likelihoods"
    ):
        vlm.choice_logprobs(pictures()[:1], ["Why?"], ["yes", "no"])


def test_the_table_of_families_serves_what_transformers_has_and_no_other() -> None:
    assert all(served(name) for name in FAMILIES)
    assert served("smolvlm")
    assert family("smolvlm") is GENERIC
    assert not served("llama")
    assert not served("janus")
    assert not served("emu3")


def test_a_prompt_longer_than_the_model_is_refused(loaded: dict[str, VlmModel]) -> None:
    with pytest.raises(UserError, match=r"need 4,\d+ positions, but model '.*' has 2,048; shorten 'zzz"):
        loaded["llava"].answer([[]], ["z" * 4500], seeds=[0], sampling=TextSampling())


def test_an_answer_ends_where_the_model_knows_no_further_positions(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["qwen2_5_vl"]
    length = vlm.prompts.row([], "Why?")["input_ids"].shape[1]
    vlm.positions, before = length + 2, vlm.positions
    try:
        sampling = TextSampling(max_new_tokens=9)
        short = vlm.answer([[]], ["Why?"], seeds=[0], sampling=sampling)
        expected = vlm.answer([[]], ["Why?"], seeds=[0], sampling=TextSampling(max_new_tokens=3))
    finally:
        vlm.positions = before
    assert short == expected != vlm.answer([[]], ["Why?"], seeds=[0], sampling=sampling)


def test_logits_that_are_no_numbers_are_told(loaded: dict[str, VlmModel]) -> None:
    vlm = loaded["chameleon"]
    handle = vlm.model.lm_head.register_forward_hook(lambda _module, _given, logits: logits * torch.nan)
    try:
        with pytest.raises(NoNumbersError, match="the logits of an answer's tokens are NaN or infinite"):
            vlm.answer([[]], ["Why?"], seeds=[0], sampling=TextSampling(max_new_tokens=2))
    finally:
        handle.remove()
