#!/bin/sh
# A LoRA is merged and the model saved into the folder where peft had saved the adapters before (config.json, model.safetensors,
# adapter_config.json, adapter_model.safetensors). transformers' from_pretrained then loads the merged weights and puts the adapters
# on top of them a second time, if peft is installed, and does not if it is not: the same folder is two models, without an error.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 peft==0.21.2
cat >"$folder/logits.py" <<'PY'
import importlib.util
import sys

import torch
from transformers import AutoModelForCausalLM

with torch.no_grad():
    logits = AutoModelForCausalLM.from_pretrained(sys.argv[1])(torch.tensor([[1, 2, 3]])).logits
torch.save(logits, sys.argv[2])
print(f"peft installed: {importlib.util.find_spec('peft') is not None}; first logits {[round(x, 4) for x in logits[0, -1, :4].tolist()]}")
PY
"$folder/venv/bin/python" - "$folder" 2>/dev/null <<'PY'
import sys

import peft
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

print(f"transformers {transformers.__version__}, peft {peft.__version__}, torch {torch.__version__}")
torch.manual_seed(0)
sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 32}
model = peft.get_peft_model(LlamaForCausalLM(LlamaConfig(**sizes)), peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
folder = f"{sys.argv[1]}/model"
model.save_pretrained(folder)
merged = model.merge_and_unload()
merged.save_pretrained(folder)
with torch.no_grad():
    torch.save(merged(torch.tensor([[1, 2, 3]])).logits, f"{sys.argv[1]}/merged.pt")
PY
"$folder/venv/bin/python" "$folder/logits.py" "$folder/model" "$folder/with.pt" 2>/dev/null
"$folder/venv/bin/pip" uninstall --quiet --yes peft
"$folder/venv/bin/python" "$folder/logits.py" "$folder/model" "$folder/without.pt" 2>/dev/null
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import torch

merged, without, with_peft = (torch.load(f"{sys.argv[1]}/{name}.pt") for name in ("merged", "without", "with"))
print(f"largest difference to the merged model: {float((without - merged).abs().max()):.6f} without peft, {float((with_peft - merged).abs().max()):.6f} with it")
sys.exit(not (torch.allclose(without, merged, atol=1e-5) and (with_peft - merged).abs().max() > 1e-3))
PY
