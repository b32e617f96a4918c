"""Train tiny-janus from scratch on the world: python -m suder_bench.world.pretrain --out DIR (resumable).

Stages: the image tokenizer (vq), then drawing and reading together (training), then DIR/tiny-janus, a transformers checkpoint.
The shipped checkpoint's log stands in log.jsonl beside this file; `measure.py` made its last line.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from suder_bench.world.pretrain import janus, training, vq
from suder_bench.world.pretrain.architecture import tokenizer
from suder_bench.world.pretrain.machine import quick_halves
from suder_bench.world.pretrain.school import School

STOPPED = 3
"""Exit status where a signal ended the training before its last step: its state is saved, and the same command goes on."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m suder_bench.world.pretrain", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="working folder; the same folder resumes")
    parser.add_argument("--vq-steps", type=int, default=1200)
    parser.add_argument("--vq-pool", type=int, default=vq.POOL, help="pictures that the tokenizer is trained on")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--drawn", type=int, default=janus.DRAWN, help="texts to be drawn of a step")
    parser.add_argument("--read", type=int, default=janus.READ, help="pictures to be read of a step")
    parser.add_argument("--peak", type=float, default=training.Plan.peak, help="learning rate")
    parser.add_argument("--samples", type=int, default=training.Plan.samples, help="own pictures that are read, three times")
    parser.add_argument("--threads", type=int, default=2, choices=(1, 2), help="2: each side has a core of its own")
    arguments = parser.parse_args(argv)
    work = training.TrainingFolder(arguments.out)
    work.log({"stage": "start"} | {name: str(value) for name, value in vars(arguments).items() if name != "out"})
    torch.set_num_threads(arguments.threads)
    trained = vq.train(work.state("vq"), arguments.vq_steps, arguments.vq_pool, lambda s: work.save("vq", s), work.log)
    if trained is None:
        return STOPPED
    pixels, means = trained
    pixels = pixels.bfloat16().float()  # as it is shipped
    if not (work.folder / "words").exists():
        tokenizer(janus.corpus()).save_pretrained(work.folder / "words")
    words = PreTrainedTokenizerFast.from_pretrained(work.folder / "words")
    subject = janus.TinyJanus(pixels, means, words)
    school = School(subject, subject.length, drawn=arguments.drawn, read=arguments.read, room=janus.ROOM)
    parameters = sum(p.numel() for p in subject.model.parameters())
    work.log({"stage": "begun", "parameters": parameters, "bfloat16": quick_halves()})
    plan = training.Plan(arguments.steps, peak=arguments.peak, samples=arguments.samples, threads=arguments.threads)
    if not training.train(subject, school, plan, work):
        return STOPPED
    folder = arguments.out / "tiny-janus"
    subject.save(folder)
    work.log({"stage": "exported", "bytes": sum(f.stat().st_size for f in folder.iterdir())})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
