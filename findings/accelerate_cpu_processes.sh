#!/bin/sh
# `accelerate launch --cpu --num_processes 2 script.py` starts one process and no other, ends with status 0 and says nothing of the
# second one: without mpirun, several processes on the processor need a launcher of torch's own. A training that means to share its
# batches between ranks is then one process that does all of them, and a test of what ranks exchange tests nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 accelerate==1.15.0
cat >"$folder/ranks.py" <<'PY'
import os

from accelerate import PartialState

state = PartialState(cpu=True)
print(f"rank {state.process_index} of {state.num_processes}, WORLD_SIZE {os.environ.get('WORLD_SIZE')}", flush=True)
PY
export HF_HOME="$folder" OMP_NUM_THREADS=1
cd "$folder"
"$folder/venv/bin/accelerate" launch --cpu --num_processes 2 ranks.py >accelerate.txt 2>accelerate-errors.txt
"$folder/venv/bin/torchrun" --nproc-per-node 2 ranks.py >torchrun.txt 2>torchrun-errors.txt
"$folder/venv/bin/python" -c "import accelerate, torch; print('accelerate', accelerate.__version__, 'torch', torch.__version__)"
echo "accelerate launch --cpu --num_processes 2:" && grep rank accelerate.txt
echo "torchrun --nproc-per-node 2:" && grep rank torchrun.txt
if grep -qi "process.*ignored\|only one process" accelerate-errors.txt; then exit 1; fi
[ "$(grep -c 'rank 0 of 1, WORLD_SIZE None' accelerate.txt)" = 1 ] && [ "$(grep -c 'rank' accelerate.txt)" = 1 ]
[ "$(grep -c 'of 2, WORLD_SIZE 2' torchrun.txt)" = 2 ]
