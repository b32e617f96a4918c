#!/usr/bin/env bash
# VLMEvalKit reads a yes or no in an answer after removing full stops, but at most 32 of them: a regular expression's flag
# (re.UNICODE, 32) stands where the count belongs. A long answer that ends in "No." says neither yes nor no then, and is
# wrong without a language model. Behaviour in ms-vlmeval 0.0.20 (2026-05), which carries VLMEvalKit's code.
set -euo pipefail
package=ms-vlmeval version=0.0.20
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$package==$version"
cd "$folder"
"$folder/venv/bin/python" -W ignore - "$package" "$version" <<'PYTHON'
import ast
import sys
import sysconfig
from pathlib import Path

# Its two functions alone, so that nothing else need be installed.
found = {}
for file, name in (("smp/misc.py", "process_punctuation"), ("dataset/utils/yorn.py", "YOrN_Extraction")):
    tree = ast.parse((Path(sysconfig.get_path("purelib")) / "vlmeval" / file).read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    exec(compile(tree, file, "exec"), found)

seen = {sentences: found["YOrN_Extraction"]("I see a thing. " * sentences + "No.") for sentences in (0, 31, 32, 100)}
print(f"{sys.argv[1]} {sys.argv[2]}: what an answer says that ends in 'No.'")
for sentences, said in seen.items():
    print(f"  after {sentences} sentences: {said}")
sys.exit(0 if seen == {0: "No", 31: "No", 32: "Unknown", 100: "Unknown"} else "the behaviour has changed")
PYTHON
