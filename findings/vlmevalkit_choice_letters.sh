#!/usr/bin/env bash
# VLMEvalKit looks for an option's letter before it looks for an option's words: an answer that begins with the article "A" picks
# option A, whatever it goes on to say, and since 2025-08 a letter that is followed by more than three words is not seen at all.
# Behaviour in ms-vlmeval 0.0.20 (2026-05), which carries VLMEvalKit's code.
set -euo pipefail
package=ms-vlmeval version=0.0.20
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$package==$version"
cd "$folder"
"$folder/venv/bin/python" - "$package" "$version" <<'PYTHON'
import ast
import copy
import os
import string
import sys
import sysconfig
from pathlib import Path

# Its three functions alone, so that nothing else need be installed.
file = Path(sysconfig.get_path("purelib")) / "vlmeval/utils/matching_util.py"
tree = ast.parse(file.read_text())
wanted = ("can_infer", "can_infer_option", "can_infer_text")
tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
found = {"cp": copy, "os": os, "string": string}
exec(compile(tree, str(file), "exec"), found)

options = {"A": "cat", "B": "dog", "C": "cow", "D": "pig"}
answers = ("A dog", "The dog", "B", "B is the one that I can see")
seen = {answer: found["can_infer"](answer, dict(options)) or None for answer in answers}
print(f"{sys.argv[1]} {sys.argv[2]}: the option that an answer picks among {options}")
for answer, picked in seen.items():
    print(f"  {answer!r}: {picked}")
sys.exit(0 if list(seen.values()) == ["A", "B", "B", None] else "the behaviour has changed")
PYTHON
