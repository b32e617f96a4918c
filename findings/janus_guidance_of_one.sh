#!/bin/sh
# transformers 5.23's JanusForConditionalGeneration draws no picture with guidance_scale=1, which stands for no guidance everywhere
# else: each step fills the second half of the batch whatever the guidance is, but only a guidance above 1 joins the two halves again.
# So twice as many tokens come out as there are pictures, and the first assignment raises. With 1.0001 it draws.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - 2>/dev/null <<'PY'
import sys
from importlib.metadata import version

import torch
from transformers import JanusConfig, JanusForConditionalGeneration, JanusVisionConfig, JanusVQVAEConfig, LlamaConfig

text = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
vision = JanusVisionConfig(
    hidden_size=32, projection_dim=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8, num_image_tokens=16
)
codes = JanusVQVAEConfig(
    embed_dim=8, num_embeddings=16, latent_channels=32, base_channels=32, channel_multiplier=[1, 1], num_res_blocks=1,
    num_patches=4, projection_dim=32, image_token_embed_dim=32, num_hidden_layers=1,
)
torch.manual_seed(0)
model = JanusForConditionalGeneration(JanusConfig(text_config=text, vision_config=vision, vq_config=codes, image_token_id=5)).eval()
model.generation_config.update(bos_token_id=1, eos_token_id=2, pad_token_id=3)
model.generation_config.generation_kwargs = {"boi_token_id": 4}
prompts = torch.tensor([[1, 7, 8, 4], [1, 9, 10, 4]])
came = {}
for guidance in (1.0, 1.0001):
    try:
        drawn = model.generate(
            prompts, torch.ones_like(prompts), generation_mode="image", guidance_scale=guidance, do_sample=False
        )
        came[guidance] = f"codes of {tuple(drawn.shape)}"
    except RuntimeError as error:
        came[guidance] = f"RuntimeError: {error}"
    print(f"transformers {version('transformers')}: two prompts with guidance_scale={guidance}: {came[guidance]}")
sys.exit(not (came[1.0].startswith("RuntimeError: ") and came[1.0001] == "codes of (2, 16)"))
PY
