#!/bin/sh
# A Janus built in memory gets the id of begin-of-image where its generate() looks for it, generation_config.generation_kwargs, and
# draws. Saved and loaded again it draws no more: the file holds the id, but also "_from_model_config": true, which save_pretrained
# wrote because the configuration began as one made from the model's, and with that key every setting that transformers does not
# know itself is dropped on loading, without a word. The error is "no attribute 'generation_kwargs'", at the first picture.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0
"$folder/venv/bin/python" - "$folder/model" 2>/dev/null <<'PY'
import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import JanusConfig, JanusForConditionalGeneration

side = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
vision = {**side, "image_size": 32, "patch_size": 8, "num_image_tokens": 16, "projection_dim": 32, "mlp_ratio": 2.0}
codes = {"embed_dim": 8, "num_embeddings": 16, "latent_channels": 32, "base_channels": 32, "channel_multiplier": [1, 1, 1, 1]}
text = {**side, "model_type": "llama", "vocab_size": 32, "intermediate_size": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
config = JanusConfig(
    text_config=text,
    vision_config=vision,
    vq_config={**codes, "num_res_blocks": 1, "projection_dim": 32, "image_token_embed_dim": 32},
    image_token_id=3,
)
model = JanusForConditionalGeneration(config).eval()
model.generation_config.update(bos_token_id=0, eos_token_id=1, pad_token_id=2)
model.generation_config.generation_kwargs = {"boi_token_id": 4}


def draws(model):
    ids = torch.tensor([[0, 7, 8, 4]])
    try:
        return tuple(model.generate(ids, torch.ones_like(ids), generation_mode="image", do_sample=False, guidance_scale=5).shape)
    except AttributeError as error:
        return str(error)


print(f"transformers {transformers.__version__}")
before = draws(model)
print("in memory:", before)
model.save_pretrained(sys.argv[1])
file = Path(sys.argv[1], "generation_config.json")
content = json.loads(file.read_text())
print("saved:", {key: content[key] for key in ("_from_model_config", "generation_kwargs")})
after = draws(JanusForConditionalGeneration.from_pretrained(sys.argv[1]))
print("loaded again:", after)
file.write_text(json.dumps({key: value for key, value in content.items() if key != "_from_model_config"}))
cured = draws(JanusForConditionalGeneration.from_pretrained(sys.argv[1]))
print("without _from_model_config:", cured)
sys.exit(not (before == cured == (1, 16) and "generation_kwargs" in after))
PY
