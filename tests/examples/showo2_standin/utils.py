"""Stands in for Show-o2's module of this name: the same interface over a few numbers, nothing of the model."""

import numpy as np
import torch

path_to_llm_name = {"Qwen/Qwen2.5-1.5B-Instruct": "qwen2_5"}


def denorm(images):
    images = torch.clamp((images + 1) / 2, 0, 1) * 255
    return images.permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8)


def get_hyper_params(config, text_tokenizer, showo_token_ids, is_video=False, is_hq=False):
    sizes, ids = config.dataset.preprocessing, showo_token_ids
    text = sizes.max_seq_length - sizes.num_image_tokens - 4
    first = (sizes.num_image_tokens, sizes.num_video_tokens, sizes.max_seq_length, text, config.model.showo.image_latent_dim)
    middle = (config.model.showo.patch_size, sizes.latent_width, sizes.latent_height, text_tokenizer.pad_token_id)
    names = ("bos_id", "eos_id", "boi_id", "eoi_id", "bov_id", "eov_id", "img_pad_id", "vid_pad_id")
    return (*first, *middle, *(ids[name] for name in names), config.transport.guidance_scale)
