#!/bin/sh
# transformers' Emu3 gives a picture other tokens beside a larger one: its processor fills the pictures of a batch up to the largest,
# and its image tokenizer's group norms and attention read the filling; what is cut out afterwards is the size, not the influence.
# Beside a picture of its own size a picture keeps its tokens, so that a batch of equal pictures does not show it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 pillow numpy
"$folder/venv/bin/python" - 2>/dev/null <<'PY'
import sys

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import Emu3ImageProcessor, Emu3VQVAE, Emu3VQVAEConfig

torch.manual_seed(0)
sizes = {"codebook_size": 64, "base_channels": 32, "channel_multiplier": [1, 1, 1, 1], "num_res_blocks": 1, "hidden_size": 32}
tokenizer = Emu3VQVAE(Emu3VQVAEConfig(**sizes)).eval()
torch.nn.init.normal_(tokenizer.quantize.embedding.weight)
processor = Emu3ImageProcessor(min_pixels=32 * 32, max_pixels=128 * 128)
noise = np.random.default_rng(0)
small, wide = (Image.fromarray(noise.integers(0, 256, (64, width, 3), dtype=np.uint8)) for width in (64, 128))


def tokens(*pictures):
    """Of the first picture."""
    batch = processor(images=list(pictures), return_tensors="pt")
    with torch.no_grad():
        return tokenizer.encode(batch["pixel_values"], batch["image_sizes"], return_dict=True).image_tokens[0]


alone = tokens(small)
equal, larger = int((tokens(small, small) != alone).sum()), int((tokens(small, wide) != alone).sum())
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
print(f"tokens of a picture: {alone.numel()}; others beside one of its size: {equal}; others beside a wider one: {larger}")
sys.exit(not (equal == 0 and larger > 0))
PY
