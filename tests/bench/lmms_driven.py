"""What lmms-eval takes for questions with a model: run by bench_answers.py in a process of its own, not by hand.

`Plain` is an lmms-eval model as its own are written: one question at a time through transformers' `generate`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lmms_eval import models
from lmms_eval.__main__ import cli_evaluate
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from transformers import AutoTokenizer, JanusForConditionalGeneration
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from suder_bench.models.janus.prompts import image_block, prompt_ids, question_text


class Plain(lmms):
    def __init__(self, pretrained: str, batch_size: int = 1, device: str = "cpu", **others: Any) -> None:
        super().__init__()
        self.model = JanusForConditionalGeneration.from_pretrained(pretrained).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(pretrained)
        self.processor = JanusImageProcessorPil.from_pretrained(pretrained)
        self.count = self.model.config.vision_config.num_image_tokens

    @torch.no_grad()
    def generate_until(self, requests: list[Any]) -> list[str]:
        return [self._answer(*request.args) for request in requests]

    def _answer(self, question: str, given: dict[str, Any], visual: Any, doc: int, task: str, split: str) -> str:
        pictures = visual(self.task_dict[task][split][doc])
        named = self.tokenizer.special_tokens_map
        block = image_block(
            named["boi_token"], named["image_token"], named["eoi_token"], image_tokens=self.count, images=len(pictures)
        )
        ids = torch.tensor([prompt_ids(self.tokenizer, question_text(question, block))])
        pixels = self.processor(pictures, return_tensors="pt").pixel_values
        made = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels,
            generation_mode="text",
            do_sample=False,
            max_new_tokens=given["max_new_tokens"],
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return str(self.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)).strip()

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        raise NotImplementedError

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        raise NotImplementedError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="plain")
    parser.add_argument("--args", required=True, help="lmms-eval's --model_args")
    parser.add_argument("--folder", type=Path, required=True, help="with the task `asked`; gets answers.json")
    given = parser.parse_args()
    models.MODEL_REGISTRY_V2.register_manifest(ModelManifest("plain", simple_class_path="lmms_driven.Plain"))
    kind = models.get_model(given.model, force_simple=given.model == "plain")
    answer, told = kind.generate_until, {"seconds": 0.0, "answers": []}

    def timed(self: Any, requests: list[Any]) -> list[str]:
        started = time.perf_counter()
        made = answer(self, requests)
        told["seconds"] += time.perf_counter() - started
        told["answers"] += [(str(request.args[0]), text) for request, text in zip(requests, made, strict=True)]
        return made

    kind.generate_until = timed
    own = ["--model", given.model, "--model_args", given.args, "--tasks", "asked", "--include_path", str(given.folder)]
    sys.argv = ["lmms-eval", *own, "--batch_size", "1", "--output_path", str(given.folder / "logs")]
    cli_evaluate()
    (given.folder / "answers.json").write_text(json.dumps(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
