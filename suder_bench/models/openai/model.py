"""A model behind an address that speaks OpenAI's protocol: vLLM, vLLM-Omni, SGLang, hosted APIs, `suder-bench model-server`.

What it can do is what its server says in /v1/models; where that says nothing, drawing and answering are assumed. Each request
asks for one picture or one answer, so that neither depends on the rest of a batch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from suder_bench.errors import Unreachable, UserError
from suder_bench.models.answering import check_asked
from suder_bench.models.openai import likelihood, place, replies, told
from suder_bench.models.openai.asking import Asking
from suder_bench.models.protocols import GeneratedImage, ImageSampling, TextSampling
from suder_bench.records import REVISED
from suder_bench.remote.address import is_local
from suder_bench.remote.client import Client

if TYPE_CHECKING:
    import torch


class OpenAIModel(Asking):
    """What is loaded is a subclass that also draws, answers or scores, as its server can: the harness asks with isinstance."""

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str) -> OpenAIModel:
        """Ask the server what it has; `device` and `dtype` say nothing here.

        Raises `UserError` for a wrong reference or key, a server that cannot be asked, and a model that it does not list.
        """
        where = place.read(reference)
        if os.environ.get("HF_HUB_OFFLINE") == "1" and not is_local(where.url):  # what --offline sets
            raise UserError(f"--offline forbids {where.url}; serve the model on this machine, or leave --offline out")
        who, key = f"model {where.model}", place.key_for(where)
        client = Client(who, where.url, key, timeout=where.timeout, at_once=where.concurrency, say=_say)
        known = told.ask(client, where)
        kinds = [kind for task, kind in _KINDS.items() if task in known.tasks] + ([Scores] if known.scorer else [])
        kind = type("OpenAIModel", (*kinds, cls), {"__doc__": cls.__doc__})
        return cast(OpenAIModel, kind(where, client, known))

    @classmethod
    def cannot_learn(cls, reference: str) -> str:
        """See `TellsWhyNot`."""
        return "it runs behind an address, where its weights are out of reach"


class Draws(OpenAIModel):
    """`TextToImage` and `ChecksSampling`."""

    _rewriting_told = False

    def check_sampling(self, sampling: ImageSampling) -> None:
        """Raises `Unreachable` for a setting that the server says it does not take."""
        self._settings(sampling)

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        """One picture per prompt; see `TextToImage`. A rewritten prompt is in the picture's `info["revised_prompt"]`."""
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts, but {len(seeds)} seeds")
        settings = self._settings(sampling)
        requests = [
            self.request(
                "/images/generations",
                {"prompt": prompt, "n": 1, **settings, **self.seeded("pictures", seed)},
                self.where.image,
                seed,
            )
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        drawn = [self.read(one, body, replies.picture) for one, body in zip(requests, self.ask(requests), strict=True)]
        if not self._rewriting_told and any(REVISED in picture.info for picture in drawn):
            self._rewriting_told = True
            _say(f"{self.client.who}: the server rewrites prompts; what it drew is kept as {REVISED} in each picture's file")
        return [GeneratedImage(picture) for picture in drawn]

    def _settings(self, sampling: ImageSampling) -> dict[str, Any]:
        """What every request says of its picture. Only what the user set is sent of steps and guidance: the server's own hold.

        Raises `Unreachable`, which ends the work, for a setting that the server says it does not take.
        """
        asked: dict[str, Any] = {}
        if sampling.guidance is not None:
            asked["guidance_scale"] = sampling.guidance
        if sampling.steps is not None:
            asked["num_inference_steps"] = sampling.steps
        if sampling.temperature != 1:
            asked["temperature"] = sampling.temperature
        for name, value in asked.items():
            if not self.told.takes("generate", name):
                raise Unreachable(f"{self.client.who}: its server takes no {name}, and {value:g} was asked for; leave that out")
        size = {"size": self.told.image_size} if self.told.image_size and self.told.takes("generate", "size") else {}
        return {**replies.IMAGE, **size, **asked}


class Answers(OpenAIModel):
    """`ImageToText`."""

    def answer(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[str]:
        """One answer per question, pictures before the text; see `ImageToText`. What a server keeps apart as the model's
        thought is no part of it."""
        check_asked(images, questions, seeds)
        wanted = {"temperature": sampling.temperature, "max_tokens": sampling.max_new_tokens}
        settings = {name: value for name, value in wanted.items() if self.told.takes("answer", name)}
        if sampling.temperature != 0 and "temperature" not in settings:
            raise Unreachable(f"{self.client.who}: its server takes no temperature, and {sampling.temperature:g} was asked for")
        requests = [
            self.request(
                "/chat/completions",
                {"messages": [replies.turn(several, question)], **settings, **self.seeded("answers", seed)},
                self.where.chat,
                seed,
            )
            for several, question, seed in zip(images, questions, seeds, strict=True)
        ]
        return [self.read(one, body, replies.answer) for one, body in zip(requests, self.ask(requests), strict=True)]


class Scores(OpenAIModel):
    """`TextLikelihood`, without gradients: the model is elsewhere."""

    def text_logprobs(self, images: Sequence[Image.Image], texts: Sequence[str]) -> list[torch.Tensor]:
        """log p(text | picture) token by token; the picture and the caption request are the user's turn."""
        if len(images) != len(texts):
            raise ValueError(f"{len(images)} pictures, {len(texts)} texts")
        score = likelihood.by_endpoint if self.told.scorer == "loglikelihood" else likelihood.by_prompt
        return score(self, images, texts)


_KINDS: Mapping[str, type[OpenAIModel]] = {"generate": Draws, "answer": Answers}


def _say(line: str) -> None:
    print(f"suder-bench: {line}", file=sys.stderr)
