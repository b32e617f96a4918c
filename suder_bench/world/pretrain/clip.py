"""Train tiny-clip from scratch on the world: python -m suder_bench.world.pretrain.clip --out DIR.

transformers' CLIPModel with a small configuration, trained by CLIP's symmetric contrastive loss, where a picture is also told
from captions that nearly fit it. The shipped checkpoint's log stands in clip_log.jsonl; its last line is `matching`, measured
on pictures and texts of the val split.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from suder_bench.evaluators.judges.clip import ClipSimilarity, TransformersTowers
from suder_bench.evaluators.judges.weights import OPENAI_MEAN, OPENAI_STD
from suder_bench.world.pretrain import clip_lessons
from suder_bench.world.pretrain.curriculum import noised
from suder_bench.world.pretrain.vq import learning_rate
from suder_bench.world.vocabulary import CELL, SIZE

SEED = clip_lessons.SEED
WIDTH = 128
POOL = 16_000
BATCH = 128
STEPS = 1500
PEAK = 1e-3
NOISED = 0.5
"""Share of pictures with blur and noise: the pictures to be judged are drawn by a model, not by the renderer."""
LOGGED = 100
HELD_OUT = 560


def tokenizer(texts: Sequence[str]) -> CLIPTokenizer:
    """CLIP's byte-level BPE with a token for each word of the texts; it can write any text, in lower case."""
    core = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    core.train_from_iterator(
        (text.lower() for text in texts),
        trainers.BpeTrainer(vocab_size=2000, min_frequency=2, end_of_word_suffix="</w>", show_progress=False),
    )
    merges: list[Any] = [tuple(pair) for pair in json.loads(core.to_str())["model"]["merges"]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = [*letters, *(letter + "</w>" for letter in letters), *dict.fromkeys("".join(pair) for pair in merges)]
    words = [*known, "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=merges, model_max_length=77)


def config(words: CLIPTokenizer) -> CLIPConfig:
    """About a million parameters; patches are the cells that things lie on."""
    common: dict[str, Any] = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_attention_heads": 4,
        "projection_dim": WIDTH,
    }
    ids: dict[str, Any] = {
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    text = CLIPTextConfig(vocab_size=len(words), max_position_embeddings=77, num_hidden_layers=2, **common, **ids)
    vision = CLIPVisionConfig(image_size=SIZE, patch_size=CELL, num_hidden_layers=4, **common)
    made = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH)
    made.suder_bench_world = True
    return made


def contrastive(
    pictures: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """CLIP's loss of unit vectors (pairs, width) with `wrong` (any number, width) among the texts of each picture, and the
    share of pictures whose own text is the nearest of all."""
    logits = scale * pictures @ torch.cat([right, wrong]).T
    own = torch.arange(len(pictures))
    loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits[:, : len(own)].T, own)) / 2
    return loss, (logits.argmax(1) == own).float().mean()


def to_pixels(pictures: np.ndarray) -> torch.Tensor:
    """(pictures, 64, 64, 3) uint8 to (pictures, 3, 64, 64) as the judge prepares them."""
    mean, std = torch.tensor(OPENAI_MEAN)[:, None, None], torch.tensor(OPENAI_STD)[:, None, None]
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - mean) / std


def train(clip: CLIPModel, words: CLIPTokenizer, steps: int, pool: int, log: Callable[[dict], None]) -> None:
    """AdamW to `PEAK`, warmed up and down by a cosine; everything a step sees follows from its number."""
    pairs = [clip_lessons.pair(i) for i in range(pool)]
    log({"stage": "pool", "pairs": pool, "parameters": sum(p.numel() for p in clip.parameters())})
    decayed = [p for p in clip.parameters() if p.ndim > 1]
    plain = [p for p in clip.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.98))
    clip.train()
    running = np.zeros(2)
    for step in range(steps):
        rng = np.random.default_rng([*SEED, 3, step])
        chosen = [pairs[i] for i in rng.integers(pool, size=BATCH)]
        shown = [noised(one.picture, rng) if rng.random() < NOISED else one.picture for one in chosen]
        right = [str(rng.choice(one.right)) for one in chosen]
        wrong = [str(rng.choice(one.wrong)) for one in chosen if one.wrong]
        tokens = words([*right, *wrong], padding=True, return_tensors="pt")
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak=PEAK)
        with torch.autocast("cpu", torch.bfloat16):
            seen = clip.visual_projection(clip.vision_model(to_pixels(np.stack(shown))).pooler_output)
            read = clip.text_projection(clip.text_model(**tokens).pooler_output)
        texts = F.normalize(read.float(), dim=-1)
        loss, nearest = contrastive(
            F.normalize(seen.float(), dim=-1), texts[: len(right)], texts[len(right) :], clip.logit_scale.exp()
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            clip.logit_scale.clamp_(max=float(np.log(100)))
        running += (loss.item(), nearest.item())
        if step % LOGGED == LOGGED - 1 or step + 1 == steps:
            count = step % LOGGED + 1
            log(
                {"stage": "clip", "step": step + 1, "loss": round(running[0] / count, 4), "nearest": round(running[1] / count, 4)}
            )
            running[:] = 0
    clip.eval()


def matching(folder: Path, n: int = HELD_OUT) -> dict[str, float]:
    """Share of val pictures that are nearer to their text than to one changed in one way, by kind, and than to all of these."""
    judge = ClipSimilarity(TransformersTowers.load("clip", str(folder), device="cpu", dtype="auto", offline=True))
    won: dict[str, list[bool]] = {}
    for i in range(n):
        picture, text, wrong = clip_lessons.held_out(i)
        if wrong:
            own, *others = judge.similarity([Image.fromarray(picture)] * (1 + len(wrong)), [text, *wrong.values()])
            for kind, other in zip(wrong, others, strict=True):
                won.setdefault(kind, []).append(own > other)
            won.setdefault("all", []).append(own > max(others))
    return {kind: round(float(np.mean(values)), 4) for kind, values in won.items()}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m suder_bench.world.pretrain.clip", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="working folder: the log, and tiny-clip")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--pool", type=int, default=POOL, help="pictures to draw batches from")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="pictures that it is tested on in the end")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "clip_log.jsonl"
    file.unlink(missing_ok=True)

    def log(row: dict) -> None:
        line = json.dumps(row | {"cpu_seconds": round(time.process_time(), 1)})
        print(line, flush=True)
        with file.open("a") as out:
            out.write(line + "\n")

    log({"stage": "start", "steps": arguments.steps, "pool": arguments.pool, "batch": BATCH})
    texts = [text for i in range(1000) for text in clip_lessons.pair(i).right]
    words = tokenizer(texts)
    torch.manual_seed(sum(SEED))
    # Eager attention: the fused kernel's backward takes most of a step on a CPU.
    clip = CLIPModel._from_config(config(words), attn_implementation="eager")
    train(clip, words, arguments.steps, arguments.pool, log)
    folder = arguments.out / "tiny-clip"
    clip.half().save_pretrained(folder)
    words.save_pretrained(folder)
    log({"stage": "exported", "bytes": sum(each.stat().st_size for each in folder.iterdir())})
    log({"stage": "matching", "pictures": arguments.held_out} | matching(folder, arguments.held_out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
