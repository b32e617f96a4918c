#!/bin/sh
# transformers 5.23's language models take a four-dimensional bool mask (true: may look) as it is. With sdpa, their usual attention, it
# hides what it should. Eager attention adds it to the scores instead, as 1 and 0: everything is seen, nothing warns, and the same
# weights give other logits; there it has to be a mask of 0 and minus infinity.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - 2>/dev/null <<'PY'
import sys
from importlib.metadata import version

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PhiConfig, PhiForCausalLM

sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
tokens = torch.tensor([[5, 9, 3, 7, 1, 8]])
causal = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
masks = {"bool": causal, "0 and minus infinity": torch.where(causal, 0.0, float("-inf"))}
hides = {}
for kind, config in ((PhiForCausalLM, PhiConfig(**sizes)), (LlamaForCausalLM, LlamaConfig(**sizes))):
    for attention in ("sdpa", "eager"):
        torch.manual_seed(0)
        model = kind._from_config(config, attn_implementation=attention).eval()
        with torch.no_grad():
            expected = model(tokens).logits  # causal by itself
            for name, mask in masks.items():
                far = float((model(tokens, attention_mask=mask).logits - expected).abs().max())
                hides[kind.__name__, attention, name] = far < 1e-5
                print(f"transformers {version('transformers')}: {kind.__name__}, {attention}, causal mask of {name}: logits differ by {far:.1e}")
sys.exit(any(hid == (attention == "eager" and name == "bool") for (_, attention, name), hid in hides.items()))
PY
