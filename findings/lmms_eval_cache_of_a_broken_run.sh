#!/usr/bin/env bash
# lmms-eval's --use_cache gives a run that broke off nothing back: a model is asked for all answers at once and they are stored when
# all are there; and those that a model hands over one by one lie in a file of their own run, which only a run that ended well is
# merged from, and the next run does not open, unless LMMS_CACHE_RUN_ID names both. Behaviour in 0.7.3 (2026-08).
set -euo pipefail
package=lmms-eval version=0.7.3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$package==$version" loguru
cd "$folder"
"$folder/venv/bin/python" - "$package" "$version" <<'PYTHON'
import hashlib
import os
import sys
import types

from loguru import logger

logger.remove()
for name in ("LMMS_CACHE_RUN_ID", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):
    os.environ.pop(name, None)
utils = types.ModuleType("lmms_eval.utils")  # of which the cache needs three small functions, and the rest torch
utils.get_lmms_eval_cache_version = lambda: "0.7.3"
utils.hash_string = lambda text: hashlib.sha256(text.encode()).hexdigest()
utils.simple_parse_args_string = lambda text: dict(part.split("=", 1) for part in text.split(","))
sys.modules["lmms_eval.utils"] = utils

from lmms_eval.api.instance import Instance
from lmms_eval.caching.response_cache import ResponseCache


class Model:
    """Answers four questions, or breaks off after the third; one by one, or all at once as lmms-eval's own models do."""

    def __init__(self, *, breaks: bool, streams: bool):
        self.breaks, self.streams, self.made = breaks, streams, 0

    def generate_until(self, requests):
        return self.answers(requests) if self.streams else list(self.answers(requests))

    def answers(self, requests):
        for request in requests:
            if self.breaks and self.made == 3:
                raise RuntimeError("out of memory")
            self.made += 1
            yield "yes"


def run(root, model):
    """As lmms-eval's simple_evaluate does it; returns how many answers were made anew."""
    requests = [
        Instance("generate_until", ("Is it?", {}, None, i, "t", "test"), 0, {"task": "t", "doc_id": i, "repeats": 1}) for i in range(4)
    ]
    cache, ended = ResponseCache.create(root, model="m", model_args="a=1"), False
    try:
        cache.execute(model, "generate_until", requests)
        ended = True
    except RuntimeError:
        pass
    finally:
        cache.finalize(success=ended)
    return model.made


seen = {}
for streams in (False, True):
    for named in (False, True):
        if named:
            os.environ["LMMS_CACHE_RUN_ID"] = "one"
        root = f"cache-{streams}-{named}"
        first = run(root, Model(breaks=True, streams=streams))
        again = run(root, Model(breaks=False, streams=streams))
        os.environ.pop("LMMS_CACHE_RUN_ID", None)
        seen[streams, named] = (first, again)
print(f"{sys.argv[1]} {sys.argv[2]}: answers made by a run that breaks off after 3 of 4, and by the next with its cache")
for (streams, named), (first, again) in seen.items():
    how = "handed over one by one" if streams else "handed over all at once"
    print(f"  {how}, LMMS_CACHE_RUN_ID {'set' if named else 'not set'}: {first}, then {again}")
expected = {(False, False): (3, 4), (False, True): (3, 4), (True, False): (3, 4), (True, True): (3, 1)}
sys.exit(0 if seen == expected else "the behaviour has changed")
PYTHON
