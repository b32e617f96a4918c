"""BLIP VQA, T2I-CompBench's judge of attributes: the probability that the answer to a question is yes.

ViT-B with CapFilt-L. Where BLIP's own code and transformers' processor differ, this follows BLIP: the picture is
squeezed to 480 x 480, and a question begins with [ENC] and not with [CLS].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from PIL import Image

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges.protocols import Picture
from suder_bench.evaluators.judges.weights import OPENAI_MEAN, OPENAI_STD, Place, chunks, digest, load_pretrained, pixels

if TYPE_CHECKING:
    from transformers import BlipForQuestionAnswering, PreTrainedTokenizerBase

SIDE = 480
MAX_TOKENS = 35
PICTURES, QUESTIONS = 16, 32


class BlipVqa:
    """Implements `VisualQuestionAnswerer`. `exact` is false for weights of another picture size, whose positions are resized."""

    backend = "blip-vqa-capfilt-large"

    def __init__(self, model: BlipForQuestionAnswering, tokenizer: PreTrainedTokenizerBase, place: Place) -> None:
        config: Any = model.config
        self.exact = config.vision_config.image_size == SIDE
        self.fingerprint = digest(model)
        self._model, self._tokenizer, self._place = place.put(model), tokenizer, place
        self._dec: int = config.text_config.bos_token_id
        self._enc = self._dec + 1
        vocabulary = tokenizer.get_vocab()
        self._answers = [vocabulary["yes"], vocabulary["no"]]

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str, offline: bool) -> Self:
        """Read a folder or hub id in transformers' format. Raises `JudgeError` where the weights cannot be had."""
        from transformers import BertTokenizer, BlipForQuestionAnswering

        place = Place.choose(device, dtype, half_on_cuda=False)
        model = load_pretrained("vqa", BlipForQuestionAnswering, reference, offline=offline)
        tokenizer = load_pretrained("vqa", BertTokenizer, reference, offline=offline)
        if not {"yes", "no"} <= tokenizer.get_vocab().keys():
            raise JudgeError(f"judge vqa: {reference} lacks its vocabulary (vocab.txt or tokenizer.json)")
        return cls(model, tokenizer, place)

    def p_yes(self, pictures: Sequence[Picture], questions: Sequence[Sequence[str]]) -> list[list[float]]:
        answers: list[list[float]] = []
        for chunk in chunks(list(zip(pictures, questions, strict=True)), PICTURES):
            seen = self._see([picture for picture, _ in chunk])
            asked = [(row, question) for row, (_, own) in enumerate(chunk) for question in own]
            found = iter(self._answer(seen, [row for row, _ in asked], [question for _, question in asked]))
            answers += [[next(found) for _ in own] for _, own in chunk]
        return answers

    def check(self) -> None:
        """A plain red picture is more red than blue, and a blue one the other way round. Raises `JudgeError`."""
        for color, other in (("red", "blue"), ("blue", "red")):
            ((p, q),) = self.p_yes(
                [Image.new("RGB", (SIDE, SIDE), color)], [[f"is the picture {color}?", f"is the picture {other}?"]]
            )
            if not p > q:
                raise JudgeError(f"a {color} picture is {color} with p = {p:.2f} and {other} with p = {q:.2f}; wrong weights?")

    @torch.inference_mode()
    def _see(self, pictures: Sequence[Picture]) -> torch.Tensor:
        """(pictures, patches + 1, width)."""
        squeezed = [picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for picture in pictures]
        values = torch.stack([pixels(picture, OPENAI_MEAN, OPENAI_STD) for picture in squeezed]).to(self._place.device)
        with self._place.precision():
            return self._model.vision_model(values, interpolate_pos_encoding=True).last_hidden_state

    def _answer(self, seen: torch.Tensor, rows: list[int], questions: list[str]) -> list[float]:
        """p(yes) of each question about the picture in its row of `seen`.

        Only questions of one length share a batch: transformers (5.23) passes BLIP's cross-attention no mask, so that
        the decoder would look at padding too.
        """
        ids = [self._tokenizer(question, truncation=True, max_length=MAX_TOKENS)["input_ids"] for question in questions]
        found = [0.0] * len(questions)
        for length in sorted({len(own) for own in ids}):
            for places in chunks([place for place, own in enumerate(ids) if len(own) == length], QUESTIONS):
                batch = torch.tensor([[self._enc, *ids[place][1:]] for place in places], device=self._place.device)
                for place, p in zip(places, self._decode(seen[[rows[place] for place in places]], batch), strict=True):
                    found[place] = p
        return found

    @torch.inference_mode()
    def _decode(self, seen: torch.Tensor, ids: torch.Tensor) -> list[float]:
        """One decoder step after questions `ids` (questions, length), each with its picture in `seen`."""
        start = torch.full((len(ids), 1), self._dec, device=ids.device)
        with self._place.precision():
            read = self._model.text_encoder(input_ids=ids, encoder_hidden_states=seen).last_hidden_state
            logits = self._model.text_decoder(input_ids=start, encoder_hidden_states=read).logits[:, -1, self._answers]
        return torch.softmax(logits.float(), dim=-1)[:, 0].tolist()
