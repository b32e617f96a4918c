#!/bin/sh
# transformers 5.23's Qwen2.5-VL needs `mm_token_type_ids` beside its tokens to give a picture's tokens the positions of their rows and
# columns. The picture's own token id and `image_grid_thw`, which tell as much, are not enough: without the types all tokens are counted
# up as text, nothing warns, and what follows the picture stands later than it was trained to. Inputs that are put together by hand,
# or made longer than the processor left them, lose them.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - 2>/dev/null <<'PY'
import sys
from importlib.metadata import version

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

PICTURE = 60
text = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}
vision = {
    "depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32, "patch_size": 4,
    "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 16, "fullatt_block_indexes": [0],
}
torch.manual_seed(0)
config = Qwen2_5_VLConfig(
    text_config=text, vision_config=vision, image_token_id=PICTURE, video_token_id=61, vision_start_token_id=62, vision_end_token_id=63
)
model = Qwen2_5_VLForConditionalGeneration(config).eval()
tokens = torch.tensor([[5, 62, *[PICTURE] * 16, 63, 7, 8, 9]])
given = {"input_ids": tokens, "pixel_values": torch.randn(64, 3 * 2 * 4 * 4), "image_grid_thw": torch.tensor([[1, 8, 8]])}
kinds = {"mm_token_type_ids": (tokens == PICTURE).long()}
rows = torch.arange(4).repeat_interleave(4)
place = torch.tensor([[0, 1, *[2] * 16, 6, 7, 8, 9], [0, 1, *(2 + rows), 6, 7, 8, 9], [0, 1, *(2 + torch.arange(4).repeat(4)), 6, 7, 8, 9]])
plain = torch.arange(tokens.shape[1]).expand(3, -1)
expected = {"in rows and columns": place, "as plain text": plain}
with torch.no_grad():
    came = {"with mm_token_type_ids": model(**given, **kinds).logits, "without": model(**given).logits}
    own = {name: model(**given, position_ids=positions[:, None]).logits for name, positions in expected.items()}
found = {}
for name, logits in came.items():
    found[name] = [told for told, other in own.items() if torch.allclose(logits, other, atol=1e-6)]
    print(f"transformers {version('transformers')}, {name}: the picture's tokens are counted {' and '.join(found[name])}")
sys.exit(found != {"with mm_token_type_ids": ["in rows and columns"], "without": ["as plain text"]})
PY
