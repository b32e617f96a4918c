"""Train tiny-janus from scratch on the world: python -m suder_bench.world.pretrain --out DIR (resumable).

Stages: the image tokenizer (vq), then drawing and reading together (model), then DIR/tiny-janus, a transformers checkpoint.
The shipped checkpoint's log stands in log.jsonl beside this file; `measure.py` made its last line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import JanusForConditionalGeneration, PreTrainedTokenizerFast

from suder_bench.models.janus import JanusModel
from suder_bench.models.janus import files as janus_files
from suder_bench.models.protocols import ImageSampling
from suder_bench.world.pretrain import curriculum, model, vq
from suder_bench.world.pretrain.architecture import GUIDANCE, config, image_processor, tokenizer


class TrainingFolder:
    """The folder of one training: a resumable state a stage, and the log with the seconds worked in all."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        rows = self.rows()
        self.before = rows[-1]["seconds"] if rows else 0.0
        self.started = time.perf_counter()

    def rows(self) -> list[dict]:
        file = self.folder / "log.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def state(self, stage: str) -> dict:
        file = self.folder / f"{stage}.pt"
        return torch.load(file, weights_only=True) if file.exists() else {}

    def save(self, stage: str, state: dict) -> None:
        temporary = self.folder / f"{stage}.pt.tmp"
        torch.save(state, temporary)
        temporary.replace(self.folder / f"{stage}.pt")

    def log(self, row: dict) -> None:
        row = row | {"seconds": round(self.before + time.perf_counter() - self.started, 1)}
        print(json.dumps(row), flush=True)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m suder_bench.world.pretrain", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="working folder; the same folder resumes")
    parser.add_argument("--vq-steps", type=int, default=1200)
    parser.add_argument("--steps", type=int, default=2700)
    parser.add_argument("--claim-steps", type=int, default=400, help="steps after those, with more yes/no questions")
    parser.add_argument("--pool", type=int, default=model.POOL, help="lessons to draw batches from")
    parser.add_argument("--vq-pool", type=int, default=vq.POOL, help="pictures that the tokenizer is trained on")
    parser.add_argument("--start-from", type=Path, help="begin with an earlier training's model.pt, all but its image codes")
    arguments = parser.parse_args(argv)
    work = TrainingFolder(arguments.out)
    work.log({"stage": "start"} | {name: str(value) for name, value in vars(arguments).items() if name != "out"})

    pixels = vq.train(work.state("vq"), arguments.vq_steps, arguments.vq_pool, lambda s: work.save("vq", s), work.log)
    pixels = pixels.bfloat16().float()  # as it is shipped
    if not (work.folder / "words").exists():
        tokenizer(curriculum.corpus()).save_pretrained(work.folder / "words")
    words = PreTrainedTokenizerFast.from_pretrained(work.folder / "words")
    torch.manual_seed(sum(model.SEED))
    # Eager attention: the fused kernel's backward with a mask takes half of a step on a CPU.
    janus = JanusForConditionalGeneration._from_config(config(words), attn_implementation="eager")
    janus.model.vqmodel.load_state_dict(pixels.state_dict())
    with torch.no_grad():
        janus.model.generation_embeddings.weight.copy_(torch.nn.functional.normalize(pixels.quantize.embedding.weight, dim=-1))
    if arguments.start_from:
        earlier = torch.load(arguments.start_from, weights_only=True)["model"]
        codes = ("model.vqmodel.", "model.generation_embeddings.")
        janus.load_state_dict({name: value for name, value in earlier.items() if not name.startswith(codes)}, strict=False)
    processor = image_processor()
    adapter = JanusModel(janus, words, processor, name="tiny-janus")

    def sample(_: JanusForConditionalGeneration, prompts: Sequence[str]) -> np.ndarray:
        half = len(prompts) // 2
        drawn = []
        for part, guidance in ((prompts[:half], GUIDANCE), (prompts[half:], 1.0)):
            for i in range(0, len(part), 50):
                chunk = part[i : i + 50]
                drawn += adapter.generate(chunk, seeds=range(len(chunk)), sampling=ImageSampling(guidance=guidance))
        return np.stack([np.asarray(made.picture) for made in drawn])

    school = model.School(pixels, words, arguments.pool)
    work.log({"stage": "pool", "lessons": arguments.pool, "parameters": sum(p.numel() for p in janus.parameters())})
    hints = model.Hints()
    first = model.Term(0, arguments.steps, peak=1.5e-3)
    model.train(janus, hints, school, work.state("model"), first, sample, lambda s: work.save("model", s), work.log)
    second = model.Term(arguments.steps, arguments.claim_steps, peak=1e-3, claims=model.CLAIMS)
    model.train(janus, hints, school, work.state("claims"), second, sample, lambda s: work.save("claims", s), work.log)
    model.average(janus, work.state("model")["model"], 0.25)
    janus.generation_config.update(
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        guidance_scale=GUIDANCE,
    )
    folder = arguments.out / "tiny-janus"
    janus.bfloat16().save_pretrained(folder)
    words.save_pretrained(folder)
    processor.save_pretrained(folder)
    janus_files.complete(folder, words)
    whole = {"num_image_tokens": adapter.image_tokens, "processor_class": "JanusProcessor"}  # Janus-Pro has 576, and nobody asks
    (folder / "processor_config.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    work.log({"stage": "exported", "bytes": sum(f.stat().st_size for f in folder.iterdir())})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
