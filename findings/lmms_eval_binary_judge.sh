#!/bin/sh
# lmms-eval's judges of right and wrong are to answer 1 or 0. A reply counts as 1 wherever it holds the digit 1: a judge that says "0" and
# gives a reason with 10, 12 or 1,000 in it has found the answer right, and so has one that reasons before it says "0".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps lmms-eval==0.7.3 # the reader of replies needs no other package
"$folder/venv/bin/python" - <<'PY'
import sys
import types
from importlib.metadata import distribution

package = distribution("lmms-eval")
judge = types.ModuleType("llm_judge")  # the package's folder, without the clients that its __init__ imports
judge.__path__ = [str(package.locate_file("lmms_eval/llm_judge"))]
sys.modules["llm_judge"] = judge
from llm_judge.utils import ResponseParser

replies = {
    "0": 0,
    "1": 1,
    "0. The reference is 12, the prediction 7.": 1,
    "0 of 10 points.": 1,
    "<think>Is it 1? It says 7.</think>\n\n0": 1,
    "0. The reference is 22, the prediction 7.": 0,
}
print(f"lmms-eval {package.version}, parse_binary_response:")
found = {reply: ResponseParser.parse_binary_response(reply, "0/1") for reply in replies}
for reply, mark in found.items():
    print(f"  {reply!r:<50} {mark}")
sys.exit(found != replies)
PY
