#!/bin/sh
# Questions of unlike length in one batch change each other's answers: transformers 5.23's BLIP for question answering (the judge of
# T2I-CompBench's attributes) takes an attention mask, and its question encoder heeds it, but what writes the answer looks at padding
# too, in `generate` and in `forward`. Ask questions of one length together, or one by one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - 2>/dev/null <<'PY'
import sys
from importlib.metadata import version

import torch
from transformers import BlipConfig, BlipForQuestionAnswering

sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
text = {**sizes, "vocab_size": 64, "encoder_hidden_size": 32, "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
torch.manual_seed(0)
model = BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config={**sizes, "image_size": 32, "patch_size": 8})).eval()
picture, answer = torch.randn(1, 3, 32, 32), torch.tensor([[2, 8]])
question = torch.tensor([[5, 9, 4, 7]])
padded, mask = torch.nn.functional.pad(question, (0, 6)), (torch.arange(10) < 4).long()[None]


def encoding(tokens, mask):
    seen = model.vision_model(pixel_values=picture)[0]
    return model.text_encoder(input_ids=tokens, attention_mask=mask, encoder_hidden_states=seen, return_dict=False)[0][:, :4]


def first_word(tokens, mask):
    told = {"output_scores": True, "return_dict_in_generate": True, "max_new_tokens": 1, "do_sample": False}
    return model.generate(tokens, picture, attention_mask=mask, **told).scores[0].softmax(-1)


def loss(tokens, mask):
    return model(input_ids=tokens, pixel_values=picture, attention_mask=mask, decoder_input_ids=answer, labels=answer).loss


with torch.no_grad():
    for weights in model.parameters():
        weights.mul_(8 if weights.dim() > 1 else 1)  # so that attention is no mean
    differ = {}
    for what, of in (("encoding", encoding), ("first word's probabilities", first_word), ("loss", loss)):
        differ[what] = float((of(question, torch.ones_like(question)) - of(padded, mask)).abs().max())
        print(f"transformers {version('transformers')}: the question's {what}, alone and beside masked padding, differ by {differ[what]:.1e}")
sys.exit(not (differ["encoding"] < 1e-5 < 1e-3 < min(differ["first word's probabilities"], differ["loss"])))
PY
