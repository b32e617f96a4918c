"""Train tiny-janus or tiny-showo from scratch on the world: python -m suder_bench.world.pretrain [showo] --out DIR (resumable).

Stages: the image tokenizer (vq), then drawing and reading together (training), then DIR/tiny-janus or DIR/tiny-showo,
a checkpoint. The shipped ones' logs stand in log.jsonl and showo_log.jsonl beside this file; `measure.py` made their last lines.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from suder_bench.world.pretrain import training, vq
from suder_bench.world.pretrain.machine import quick_halves
from suder_bench.world.pretrain.school import School

SUBJECTS = {name: f"suder_bench.world.pretrain.{name}" for name in ("janus", "showo")}

STOPPED = 3
"""Exit status where a signal ended the training before its last step: its state is saved, and the same command goes on."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m suder_bench.world.pretrain", description=__doc__)
    parser.add_argument("subject", nargs="?", choices=sorted(SUBJECTS), default="janus")
    parser.add_argument("--out", type=Path, required=True, help="working folder; the same folder resumes")
    parser.add_argument("--vq-steps", type=int, default=1200)
    parser.add_argument("--vq-pool", type=int, default=vq.POOL, help="pictures that the tokenizer is trained on")
    parser.add_argument("--steps", type=int, help="the subject has its own by default")
    parser.add_argument("--drawn", type=int, help="texts to be drawn of a step, else the subject's own")
    parser.add_argument("--read", type=int, help="pictures to be read of a step, else the subject's own")
    parser.add_argument("--peak", type=float, default=training.Plan.peak, help="learning rate")
    parser.add_argument("--samples", type=int, default=training.Plan.samples, help="own pictures that are read, three times")
    parser.add_argument("--threads", type=int, default=2, choices=(1, 2), help="2: each side has a core of its own")
    parser.add_argument("--export", action="store_true", help="write the checkpoint of a training as it stands, to be measured")
    arguments = parser.parse_args(argv)
    if arguments.export and not (arguments.out / "model.pt").is_file():
        parser.error(f"--export: {arguments.out} holds no model.pt yet; train first, without it")
    kind = import_module(SUBJECTS[arguments.subject]).KIND
    chosen = {name: given for name in ("steps", "drawn", "read") if (given := getattr(arguments, name)) is not None}
    kind = replace(kind, **chosen)
    work = training.TrainingFolder(arguments.out)
    said = vars(arguments) | {name: getattr(kind, name) for name in ("steps", "drawn", "read")}
    work.log({"stage": "start"} | {name: str(value) for name, value in said.items() if name != "out"})
    torch.set_num_threads(arguments.threads)
    codes = kind.codes()
    means = vq.train(codes, work.state("vq"), arguments.vq_steps, arguments.vq_pool, lambda s: work.save("vq", s), work.log)
    if means is None:
        return STOPPED
    if not (work.folder / "words").exists():
        kind.words().save_pretrained(work.folder / "words")
    subject = kind.subject(codes, means, PreTrainedTokenizerFast.from_pretrained(work.folder / "words"))
    school = School(subject, subject.length, drawn=kind.drawn, read=kind.read, room=kind.room)
    parameters = sum(p.numel() for p in subject.model.parameters())
    work.log({"stage": "begun", "parameters": parameters, "bfloat16": quick_halves()})
    plan = training.Plan(kind.steps, peak=arguments.peak, samples=arguments.samples, threads=arguments.threads)
    if arguments.export:
        subject.model.load_state_dict(work.state("model")["model"])
    elif not training.train(subject, school, plan, work):
        return STOPPED
    folder = arguments.out / kind.name
    subject.save(folder)
    work.log({"stage": "exported", "bytes": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
