#!/bin/sh
# accelerate's save_state drops parameters that are different parts of one buffer, as the query, key and value weights are that a
# fused weight was split into: it takes everything in one storage for one tied tensor, keeps the first, and logs "This should be OK".
# The numbers of the others are in no file; with safe_serialization=False all are kept.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 accelerate==1.15.0 safetensors==0.8.0
export HF_HOME="$folder" OMP_NUM_THREADS=1
cd "$folder"
cat >views.py <<'PY'
import accelerate
import torch
from accelerate import Accelerator
from safetensors import safe_open

print("accelerate", accelerate.__version__, "torch", torch.__version__)
fused = torch.arange(12.0).view(6, 2)
model = torch.nn.ParameterDict({name: torch.nn.Parameter(part) for name, part in zip("qkv", fused.chunk(3))})
print("apart:", [weight.flatten().tolist() for weight in model.values()])
accelerator = Accelerator(cpu=True)
accelerator.prepare(model)
accelerator.save_state("safe")
accelerator.save_state("pickled", safe_serialization=False)
with safe_open("safe/model.safetensors", "pt") as file:
    safe = sorted(file.keys())
pickled = sorted(torch.load("pickled/pytorch_model.bin", weights_only=True))
print("in model.safetensors:", safe)
print("in pytorch_model.bin:", pickled)
assert (len(safe), len(pickled)) == (1, 3), (safe, pickled)
PY
"$folder/venv/bin/python" views.py
