#!/usr/bin/env bash
# Ray 2.60: with log_to_driver=False a driver's stdout still gets what nodes say of a worker that ended, so that a program that
# prints a document there must keep Ray from it by other means.
set -euo pipefail
work=$(mktemp -d /tmp/ray.XXXX)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ray==2.60.0
cat >"$work/try.py" <<'PY'
import os
import signal
import sys
import time

import ray

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


@ray.remote(max_restarts=0)
class Worker:
    def end(self):
        os.kill(os.getpid(), signal.SIGKILL)


try:
    ray.get(Worker.remote().end.remote())
except ray.exceptions.RayActorError as error:
    print("ray", ray.__version__, "raised", type(error).__name__, file=sys.stderr)
time.sleep(5)
ray.shutdown()
PY
RAY_TMPDIR=$work RAY_USAGE_STATS_ENABLED=0 "$work/venv/bin/python" "$work/try.py" >"$work/stdout"
echo "on stdout, where the program itself prints nothing:"
cut -c1-120 "$work/stdout"
grep -q "(raylet)" "$work/stdout"
