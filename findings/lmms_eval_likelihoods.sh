#!/usr/bin/env bash
# lmms-eval's interface asks a model for the log-likelihood of each choice, but a multiple-choice task takes the choice with the
# least number: a model that keeps to the interface is scored upside down. Nor does the pair (number, greedy) that is asked for
# reach the task: it is turned into text on the way, whose letters the task cannot part. Behaviour in 0.7.3 (2026-08).
set -euo pipefail
package=lmms-eval version=0.7.3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$package==$version" numpy
cd "$folder"
"$folder/venv/bin/python" - "$package" "$version" <<'PYTHON'
import ast
import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import numpy as np

# Two files of the package alone, so that nothing else need be installed: of the large one, the method that judges a document.
home = Path(sysconfig.get_path("purelib")) / "lmms_eval/api"
spec = importlib.util.spec_from_file_location("instance", home / "instance.py")
instance = importlib.util.module_from_spec(spec)
spec.loader.exec_module(instance)

tree = ast.parse((home / "task.py").read_text())
[task] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "ConfigurableTask"]
[method] = [node for node in task.body if isinstance(node, ast.FunctionDef) and node.name == "process_results"]
method.decorator_list = []  # only repeats it where it raises
known = {"np": np}
exec(compile(ast.Module([method], []), "task.py", "exec"), known)

choices = ["cat", "dog"]
asks = SimpleNamespace(
    OUTPUT_TYPE="multiple_choice",
    config=SimpleNamespace(process_results=None),
    _metric_fn_list={"acc": None},
    doc_to_choice=lambda doc: choices,
    doc_to_target=lambda doc: choices.index(doc["answer"]),
    multiple_input=0,
    multiple_target=0,
)
likely = [(-0.1, True), (-9.0, False)]  # log p of "cat" and of "dog"
right = {answer: known["process_results"](asks, {"answer": answer}, likely)["acc"] for answer in choices}
text = [instance.unwrap_generation_output(pair)[0] for pair in likely]
try:
    known["process_results"](asks, {"answer": "cat"}, text)
    judged = "judged"
except ValueError as error:
    judged = f"{type(error).__name__}: {error}"

print(f"{sys.argv[1]} {sys.argv[2]}: log p of 'cat' is -0.1 and of 'dog' -9.0")
for answer, share in right.items():
    print(f"  accuracy where {answer!r} is the answer: {share}")
print(f"  what the task gets of {likely[0]}: {text[0]!r}; then: {judged}")
sys.exit(0 if right == {"cat": 0.0, "dog": 1.0} and text[0] == "(-0.1, True)" and judged != "judged" else "the behaviour has changed")
PYTHON
