#!/bin/sh
# A pipeline that diffusers saves with a DPM-Solver scheduler, as PixArt's and many Stable Diffusions' are, holds a scheduler_config.json
# that is no JSON: `lambda_min_clipped` is written as -Infinity. Python's own reader takes it; strict ones (JavaScript's JSON.parse, a validator,
# a harness that refuses NaN in configurations) refuse the whole pipeline.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 transformers==5.23.0
"$folder/venv/bin/python" - "$folder/scheduler" 2>/dev/null <<'PY'
import json
import sys
from pathlib import Path

import diffusers

diffusers.DPMSolverMultistepScheduler().save_pretrained(sys.argv[1])
written = (Path(sys.argv[1]) / "scheduler_config.json").read_text()
print(f"diffusers {diffusers.__version__}:", next(line.strip() for line in written.splitlines() if "lambda_min" in line))


def strict(word):
    raise ValueError(f"{word} is no JSON (RFC 8259, section 6)")


try:
    json.loads(written, parse_constant=strict)
except ValueError as error:
    print("a strict reader:", error)
else:
    sys.exit("a strict reader takes it")
PY
