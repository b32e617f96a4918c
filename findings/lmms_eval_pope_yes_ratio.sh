#!/usr/bin/env bash
# lmms-eval's yes ratio on POPE is the share of "yes" among the right answers, not among the model's: it is 0.5 on every
# track, whatever the model says, so that it cannot show the bias that POPE is about. Behaviour in 0.7.3 (2026-08).
set -euo pipefail
package=lmms-eval version=0.7.3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$package==$version"
cd "$folder"
"$folder/venv/bin/python" - "$package" "$version" <<'PYTHON'
import importlib.util
import sys
import sysconfig
from pathlib import Path

# The task's own file alone, so that nothing else need be installed.
file = Path(sysconfig.get_path("purelib")) / "lmms_eval/tasks/pope/utils.py"
spec = importlib.util.spec_from_file_location("pope", file)
pope = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pope)

docs = [{"question_id": i, "answer": "yes" if i % 2 else "no"} for i in range(10)]
seen = {}
for said in ("Yes", "No"):
    rows = [pope.pope_process_results(doc, [said])["pope_yes_ratio"] for doc in docs]
    seen[said] = pope.pope_aggregate_yes_ratio(rows)
print(f"{sys.argv[1]} {sys.argv[2]}: the yes ratio of a model that says one word to ten questions, half of them to be answered yes")
for said, ratio in seen.items():
    print(f"  always {said!r}: {ratio}")
sys.exit(0 if seen == {"Yes": 0.5, "No": 0.5} else "the behaviour has changed")
PYTHON
