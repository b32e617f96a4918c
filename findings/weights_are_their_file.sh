#!/bin/sh
# A model that transformers loaded on the CPU in the precision of its safetensors file is that file, mapped into memory: when something
# writes over the file in place (rsync --inplace, a training that saves the same step again), the model in memory has other weights,
# and the next answer is another one. Loaded in another precision it is a copy and stays what it was.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 safetensors==0.8.0
"$folder/venv/bin/python" - "$folder/model" 2>/dev/null <<'PY'
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 32}
file = Path(sys.argv[1], "model.safetensors")
LlamaForCausalLM(LlamaConfig(**sizes)).save_pretrained(file.parent)
another = file.parent / "another"
LlamaForCausalLM(LlamaConfig(**sizes)).save_pretrained(another)

models = {dtype: AutoModelForCausalLM.from_pretrained(file.parent, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
before = {dtype: model.lm_head.weight.detach().clone() for dtype, model in models.items()}
with file.open("r+b") as stream:
    stream.write((another / "model.safetensors").read_bytes())
changed = {dtype: not torch.equal(model.lm_head.weight, before[dtype]) for dtype, model in models.items()}

print(f"transformers {version('transformers')}, safetensors {version('safetensors')}, torch {torch.__version__}")
for dtype, yes in changed.items():
    print(f"a float32 file, loaded as {dtype}, then written over in place: the model in memory {'has changed' if yes else 'is what it was'}")
sys.exit(not (changed[torch.float32] and not changed[torch.bfloat16]))
PY
