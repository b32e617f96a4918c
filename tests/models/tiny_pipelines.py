"""Small random pipelines of diffusers for tests: SD 1.5 and SDXL (UNets), SD3, FLUX, PixArt and Qwen-Image (transformers)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from models.tiny import tiny_tokenizer

TOKENS = 320


def clip_tokenizer(length: int = 77) -> Any:
    """The byte-level BPE of the tiny Janus, saved under the name that CLIP's has, with begin and end as CLIP has them."""
    tokenizer = tiny_tokenizer()
    own = transformers.CLIPTokenizer(
        vocab=tokenizer.get_vocab(), merges=[], unk_token="<eos>", bos_token="<bos>", eos_token="<eos>"
    )
    own.model_max_length = length
    own.add_special_tokens({"pad_token": "<eos>"})
    return own


def t5_tokenizer(length: int = 512) -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = length
    tokenizer.padding_side = "right"
    return tokenizer


def clip(projection: bool = False, width: int = 32) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=TOKENS,
        hidden_size=width,
        intermediate_size=37,
        projection_dim=32,
        num_attention_heads=4,
        num_hidden_layers=2,
        eos_token_id=1,
        bos_token_id=0,
        pad_token_id=1,
        hidden_act="gelu",
    )
    return (transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel)(config)


def t5(width: int = 32) -> Any:
    config = transformers.T5Config(
        vocab_size=TOKENS,
        d_model=width,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        pad_token_id=2,
        eos_token_id=1,
    )
    return transformers.T5EncoderModel(config)


def vae(widths: tuple[int, ...] = (32, 64), **others: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=widths,
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        norm_num_groups=8,
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths),
        **others,
    )


def stable_diffusion() -> Any:
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=16,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=2,
    )
    return diffusers.StableDiffusionPipeline(
        vae=vae(),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(),
        unet=unet,
        scheduler=diffusers.PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            skip_prk_steps=True,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_3() -> Any:
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=16,
        patch_size=1,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        out_channels=4,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=clip(True),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip(True),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5(),
        tokenizer_3=t5_tokenizer(),
    )


def flux(guidance_embeds: bool = True) -> Any:
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 4, 8],
        guidance_embeds=guidance_embeds,
    )
    pipeline = diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        transformer=transformer,
        vae=vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0, scaling_factor=1.0),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(),
    )
    pipeline.default_sample_size = 16  # else 256 pixels; not kept in its files
    return pipeline


def pixart() -> Any:
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=32,
        num_layers=2,
        patch_size=4,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
    )
    return diffusers.PixArtSigmaPipeline(
        transformer=transformer,
        vae=vae((8, 8, 8, 16)),
        scheduler=diffusers.DPMSolverMultistepScheduler(),
        text_encoder=t5(),
        tokenizer=t5_tokenizer(),
    )


def stable_diffusion_xl() -> Any:
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=16,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=64,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=80,
        norm_num_groups=8,
    )
    return diffusers.StableDiffusionXLPipeline(
        unet=unet,
        scheduler=diffusers.EulerAncestralDiscreteScheduler(),
        vae=vae(),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip(True),
        tokenizer_2=clip_tokenizer(),
        add_watermarker=False,
    )


def qwen_image() -> Any:
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=16,
        guidance_embeds=False,
        axes_dims_rope=(8, 4, 4),
    )
    rope = {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"}
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_scaling": rope,
        "rope_theta": 1e6,
        "vocab_size": TOKENS,
        "max_position_embeddings": 2048,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    pipeline = diffusers.QwenImagePipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=24,
            z_dim=4,
            dim_mult=[1, 2, 4],
            num_res_blocks=1,
            temperal_downsample=[False, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=t5_tokenizer(2048),
    )
    pipeline.default_sample_size = 8  # else 512 pixels; not kept in its files
    return pipeline


PIPELINES = {
    "sd": stable_diffusion,
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "flux": flux,
    "pixart": pixart,
    "qwen": qwen_image,
}


def tiny_pipeline(kind: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    pipeline = PIPELINES[kind]()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
            for tensor in part.parameters():  # wide enough that prompts and seeds show
                if tensor.dim() > 1:
                    tensor.data.mul_(2)
    return pipeline


def save_tiny_pipeline(folder: Path, kind: str, seed: int = 0) -> Path:
    tiny_pipeline(kind, seed).save_pretrained(folder)
    return folder
