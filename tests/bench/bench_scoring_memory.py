"""Memory of scoring prompts against pictures (R_G) at Janus-Pro-1B's shapes: python tests/bench/bench_scoring_memory.py.

Our path, which takes only the prompt's positions to the text head, against logits at every position of the same sequences, each
in a process of its own; what counts is the peak above the loaded weights. Random weights, in float32. Without gradients the
peak does not depend on the number of layers, of which a few are built by default. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import torch

WIDTH, HEADS, INNER, WORDS = 2048, 16, 5632, 102_400  # the language model of Janus-Pro-1B
SEQUENCE, SCORED = 620, 20


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--layers", type=int, default=2, help="Janus-Pro-1B has 24")
    parser.add_argument("--way", choices=["ours", "full"], help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.way:
        print(measure(arguments.way, arguments.batch, arguments.layers))
        return 0
    peaks = {}
    for way in ("ours", "full"):
        command = [sys.executable, __file__, "--way", way, "--batch", str(arguments.batch), "--layers", str(arguments.layers)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[way] = float(done.stdout.splitlines()[-1])
    ratio = round(peaks["full"] / peaks["ours"], 1)
    print(json.dumps({"batch": arguments.batch, "sequence": SEQUENCE, "megabytes": peaks, "ratio": ratio}))
    return 0


@torch.no_grad()
def measure(way: str, batch: int, layers: int) -> float:
    """Megabytes of the peak above the weights."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from models.tiny import tiny_janus_model
    from transformers import LlamaConfig, LlamaModel

    from suder_bench.models.janus import likelihood as janus_likelihood

    model = tiny_janus_model()
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
    )
    model.model.language_model = LlamaModel(config)
    model.lm_head = torch.nn.Linear(WIDTH, WORDS, bias=False)
    prompts = [torch.randn(SEQUENCE - SCORED, WIDTH) for _ in range(batch)]
    answers = [list(range(SCORED))] * batch
    janus_likelihood.answer_scores(model, [prompts[0][:8]], [[0, 1]], entropy=False)  # libraries' own buffers come first
    before = rss()
    if way == "ours":
        janus_likelihood.answer_scores(model, prompts, answers, entropy=False)
    else:
        embedded = [torch.cat([p, janus_likelihood.embed(model, ids)]) for p, ids in zip(prompts, answers, strict=True)]
        hidden = model.model.language_model(inputs_embeds=torch.stack(embedded), use_cache=False).last_hidden_state
        distribution = torch.log_softmax(model.lm_head(hidden).float(), dim=-1)
        distribution[:, -SCORED - 1 : -1].gather(2, torch.tensor(answers)[..., None])
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before, 1)


def rss() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    raise SystemExit(main())
