"""The detector's share of the time of GenEval's scoring: python tests/bench/bench_geneval.py [--pictures 6] [--tiny].

Ours against a plain loop in the shape of the official script: one picture to a detector call, all its hundred masks drawn, a
new loader for each question about colours. Both have the same random networks, of GenEval's real sizes unless `--tiny`, the
same picture files and tags by turns, and give the same verdicts. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "evaluators"))
sys.path.insert(0, str(Path(__file__).parents[1] / "evaluators" / "geneval"))
import geneval_reference as reference
import tiny_detector
import tiny_judges
from test_geneval_networks import NAMES, lay_out, prompt

from suder_bench.evaluators.geneval import TAGS, GenEval
from suder_bench.evaluators.judges.clip import ClipColors, TransformersTowers
from suder_bench.evaluators.judges.mask2former import Mask2Former
from suder_bench.evaluators.judges.mmdet_weights import build, geneval_config
from suder_bench.evaluators.judges.weights import Place
from suder_bench.records import Answered, Response

WORDS = ("a", "photo", "of", "colored", "object", *reference.COLORS, *NAMES)


class Timed:
    """Seconds spent in a network's forward."""

    def __init__(self, *networks: torch.nn.Module) -> None:
        self.seconds = self._start = 0.0
        for network in networks:
            network.register_forward_pre_hook(lambda *_: setattr(self, "_start", time.perf_counter()))
            network.register_forward_hook(lambda *_: setattr(self, "seconds", self.seconds + time.perf_counter() - self._start))

    def of(self, work: Callable[[], Any]) -> tuple[Any, float]:
        """What `work` returns, and the seconds in the networks meanwhile."""
        before = self.seconds
        return work(), self.seconds - before


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=6)
    parser.add_argument("--side", type=int, default=512, help="of the pictures, in pixels")
    parser.add_argument("--tiny", action="store_true", help="networks of a few channels")
    arguments = parser.parse_args(argv)
    config = tiny_detector.config() if arguments.tiny else geneval_config()
    network = build(tiny_detector.tensors(config), config, "random weights")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, tokenizer = random_clip(folder, arguments.tiny)
        place = Place.choose("cpu", "auto", half_on_cuda=False)
        judges = {
            "detector": Mask2Former(network, place, backend="random", exact=False),
            "color": ClipColors(TransformersTowers(clip, tokenizer, place)),
        }
        infer, colors = reference.through(network), reference.Colors(clip, tokenizer)
        pictures = [tiny_detector.scene(arguments.side, arguments.side, seed) for seed in range(arguments.pictures)]
        records = []
        for number, picture in enumerate(pictures):
            picture.save(folder / "picture.png")
            objects = reference.found_in(folder / "picture.png", "single_object", infer, NAMES)
            records.append(prompt(TAGS[number % 6], True, objects, picture, colors, number))
        images, data = lay_out(folder, records, pictures)
        benchmark = GenEval(data)
        answered = [
            Answered(sample, Response("geneval", sample.id, repeat, seed=0, digest="", image=str(file)), source=file)
            for sample, repeat, file in benchmark.find_images(images)
        ]
        colors.classifiers.clear()
        judges["color"]._known.clear()
        detecting, naming = Timed(network), Timed(clip.vision_model, clip.text_model)
        started = time.perf_counter()
        (verdicts, in_clip), in_detector = detecting.of(lambda: naming.of(lambda: list(benchmark.verdicts(answered, judges))))
        ours = time.perf_counter() - started
        started = time.perf_counter()
        rows, in_plain = detecting.of(lambda: reference.evaluate(images, infer, colors, NAMES))
        plain = time.perf_counter() - started
    same = [verdict.correct for verdict in verdicts] == [row["correct"] for row in rows.values()]
    result = {
        "pictures": len(pictures),
        "side": arguments.side,
        "networks": "tiny" if arguments.tiny else "of GenEval's sizes",
        "threads": torch.get_num_threads(),
        "colours_asked": sum(len(row["colors"]) for row in rows.values()),
        "same_verdicts": same,
        "seconds": round(ours, 2),
        "detector_share": round(in_detector / ours, 3),
        "clip_share": round(in_clip / ours, 3),
        "plain_seconds": round(plain, 2),
        "plain_detector_share": round(in_plain / plain, 3),
        "speedup": round(plain / ours, 2),
    }
    print(json.dumps(result))
    return 0 if same else 1


def random_clip(folder: Path, tiny: bool) -> tuple[CLIPModel, CLIPTokenizer]:
    """CLIP of ViT-L/14's size, with a vocabulary of the words that GenEval asks with."""
    if tiny:
        tiny_judges.clip(folder)
        return CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    pieces, merges = list("abcdefghijklmnopqrstuvwxyz-"), []
    vocabulary = dict.fromkeys([*pieces, *(f"{piece}</w>" for piece in pieces)])
    for word in WORDS:
        letters = [*word[:-1], f"{word[-1]}</w>"]
        for end in range(1, len(letters)):
            merges.append(f"{''.join(letters[:end])} {letters[end]}")
            vocabulary["".join(letters[: end + 1])] = None
    places = {word: place for place, word in enumerate([*vocabulary, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(places))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(dict.fromkeys(merges)) + "\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    ends = {"bos_token_id": len(places) - 2, "eos_token_id": len(places) - 1, "pad_token_id": len(places) - 1}
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    config = CLIPConfig(
        text_config=text | {"vocab_size": len(places), "max_position_embeddings": 77} | ends,
        vision_config=vision | {"image_size": 224, "patch_size": 14},
        projection_dim=768,
    )
    torch.manual_seed(0)
    return CLIPModel(config).eval(), tokenizer


if __name__ == "__main__":
    raise SystemExit(main())
