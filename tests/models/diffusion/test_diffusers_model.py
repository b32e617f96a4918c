"""Pictures of diffusers' pipelines: what they are called with, and that only prompt and seed decide them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")

from models.tiny_pipelines import PIPELINES, tiny_pipeline

from suder_bench.errors import UserError
from suder_bench.models.diffusion import defaults
from suder_bench.models.diffusion.model import DiffusersModel
from suder_bench.models.protocols import ChecksSampling, CutsPrompts, ImageSampling
from suder_bench.testing import check_model

TWO = ImageSampling(guidance=4.0, steps=2)
LONG = " ".join(["a red ball left of two blue boxes"] * 12)


def drawn(model: DiffusersModel, prompts: list[str], seeds: list[int], sampling: ImageSampling = TWO) -> list[np.ndarray]:
    return [np.asarray(one.picture) for one in model.generate(prompts, seeds=seeds, sampling=sampling)]


@pytest.mark.parametrize("kind", PIPELINES)
def test_what_every_adapter_promises_is_kept(kind: str) -> None:
    model = DiffusersModel(tiny_pipeline(kind))
    assert isinstance(model, ChecksSampling)
    assert isinstance(model, CutsPrompts)
    assert check_model(model, image=TWO) == ["TextToImage"]


@pytest.mark.parametrize("kind", PIPELINES)
def test_a_picture_is_the_pipeline_s_own_for_a_generator_on_the_cpu(kind: str) -> None:
    pipeline = tiny_pipeline(kind)
    [ours] = drawn(DiffusersModel(pipeline), ["a red ball"], [7])
    others = {"pixart": {"clean_caption": False}, "qwen": {"true_cfg_scale": 4.0, "negative_prompt": " "}}.get(kind, {})
    guided = {} if kind == "qwen" else {"guidance_scale": 4.0}
    generator = torch.Generator("cpu").manual_seed(7)
    [theirs] = pipeline("a red ball", num_inference_steps=2, generator=generator, **guided, **others).images
    assert np.array_equal(ours, np.asarray(theirs))


def test_steps_and_guidance_reach_the_pipeline() -> None:
    model = DiffusersModel(tiny_pipeline("sd"))
    settings = [(1.0, 2), (4.0, 2), (4.0, 3)]
    pictures = [drawn(model, ["a cup"], [1], ImageSampling(guidance=w, steps=steps))[0] for w, steps in settings]
    assert not any(np.array_equal(one, other) for one, other in pairwise(pictures))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("StableDiffusionPipeline", ("guidance_scale", 7.5, 50)),
        ("StableDiffusionXLPipeline", ("guidance_scale", 5.0, 50)),
        ("StableDiffusion3Pipeline", ("guidance_scale", 7.0, 28)),
        ("FluxPipeline", ("guidance_scale", 3.5, 28)),
        ("PixArtSigmaPipeline", ("guidance_scale", 4.5, 20)),
        ("QwenImagePipeline", ("true_cfg_scale", 4.0, 50)),
        ("StableCascadeCombinedPipeline", ("prior_guidance_scale", 4.0, 12)),
    ],
)
def test_steps_and_guidance_are_the_pipeline_s_own(name: str, found: tuple[str, float, int]) -> None:
    own = defaults.of_class(defaults.pipeline_class(name))
    assert (own.guidance_name, own.guidance, own.steps) == found


def test_qwen_image_is_given_the_negative_prompt_that_its_guidance_needs() -> None:
    own = defaults.of_class(defaults.pipeline_class("QwenImagePipeline"))
    assert own.arguments(4.0, 50) == {"num_inference_steps": 50, "true_cfg_scale": 4.0, "negative_prompt": " "}
    assert own.arguments(1.0, 50) == {"num_inference_steps": 50, "true_cfg_scale": 1.0}


def test_qwen_image_is_guided() -> None:
    model = DiffusersModel(tiny_pipeline("qwen"))
    weak, strong = (drawn(model, ["a cup"], [1], ImageSampling(guidance=w, steps=2))[0] for w in (1.0, 4.0))
    assert not np.array_equal(weak, strong)


def test_captions_are_not_cleaned_which_only_some_machines_would() -> None:
    own = defaults.of_class(defaults.pipeline_class("PixArtSigmaPipeline"))
    assert own.arguments(4.5, 20)["clean_caption"] is False


@pytest.mark.parametrize("name", ["StableDiffusionControlNetPipeline", "FluxControlPipeline", "HeliosPipeline"])
def test_a_pipeline_that_wants_more_than_a_text_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"a {name} asks for .*; choose a pipeline that draws from a text alone"):
        defaults.of_class(defaults.pipeline_class(name))


def test_a_pipeline_that_draws_from_pictures_is_refused() -> None:
    with pytest.raises(UserError, match=r"names StableDiffusionInpaintPipeline, which diffusers .* does not count among"):
        defaults.pipeline_class("StableDiffusionInpaintPipeline")


def test_all_others_from_text_to_picture_have_steps_and_guidance() -> None:
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    refused = set()
    for kind in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values():
        try:
            assert defaults.of_class(kind).steps > 0
        except UserError:
            refused.add(kind.__name__)
    assert {name for name in refused if "Control" not in name} == {"HeliosPipeline", "HeliosPyramidPipeline", "Ideogram4Pipeline"}


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("sd", {"tokenizer (77 tokens)": 1}),
        ("sdxl", {"tokenizer (77 tokens)": 1, "tokenizer_2 (77 tokens)": 1}),
        ("sd3", {"tokenizer (77 tokens)": 1, "tokenizer_2 (77 tokens)": 1}),
        ("flux", {"tokenizer (77 tokens)": 1}),
        ("pixart", {}),
    ],
)
def test_prompts_that_an_encoder_cuts_are_counted(kind: str, found: dict[str, int]) -> None:
    model = DiffusersModel(tiny_pipeline(kind))
    assert model.cut_prompts(["a cup", LONG, LONG]) == found


def test_a_cut_prompt_is_drawn_without_its_end() -> None:
    model = DiffusersModel(tiny_pipeline("sd"))
    one, other = drawn(model, [LONG, f"{LONG} and a tree"], [1, 1])
    assert np.array_equal(one, other)


def test_a_prompt_of_just_as_many_tokens_as_are_read_is_not_cut() -> None:
    model = DiffusersModel(tiny_pipeline("sd"))
    tokenizer: Any = model.pipeline.tokenizer
    lengths = {len(tokenizer("a" * letters).input_ids): "a" * letters for letters in range(1, 100)}
    assert model.cut_prompts([lengths[77]]) == {}
    assert model.cut_prompts([lengths[78]]) == {"tokenizer (77 tokens)": 1}


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_temperature_is_refused(temperature: float) -> None:
    model = DiffusersModel(tiny_pipeline("sd"))
    with pytest.raises(UserError, match="draws from noise, without a temperature; leave out --temperature"):
        model.generate(["a cup"], seeds=[1], sampling=ImageSampling(temperature=temperature, steps=1))


def test_pixels_that_are_no_numbers_are_no_black_picture() -> None:
    pipeline = tiny_pipeline("sd")
    pipeline.vae.decoder.conv_out.bias.data.fill_(float("nan"))
    with pytest.raises(UserError, match="a picture has pixels that are NaN or infinite"):
        DiffusersModel(pipeline).generate(["a cup"], seeds=[1], sampling=TWO)


@pytest.mark.parametrize(
    ("embeds", "told"), [(True, "distilled: the network reads the number"), (False, "distilled: the network reads no number")]
)
def test_the_guidance_of_flux_is_told_to_be_distilled(embeds: bool, told: str) -> None:
    torch.manual_seed(0)
    model = DiffusersModel(PIPELINES["flux"](guidance_embeds=embeds))
    assert model.settings["guidance"].startswith(told)
    weak, strong = (drawn(model, ["a cup"], [1], ImageSampling(guidance=w, steps=1))[0] for w in (0.0, 9.0))
    assert np.array_equal(weak, strong) == (not embeds)


def test_settings_name_what_decides_a_picture() -> None:
    settings = DiffusersModel(tiny_pipeline("sd"), off=["safety_checker"]).settings
    assert settings["pipeline"] == "StableDiffusionPipeline"
    assert settings["scheduler"] == "PNDMScheduler"
    assert (settings["own steps"], settings["own guidance"]) == ("50", "guidance_scale 7.5")
    assert settings["prompt length"] == "tokenizer 77 tokens"
    assert settings["switched off"] == "safety_checker"
