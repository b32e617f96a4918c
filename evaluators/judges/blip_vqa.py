"""BLIP VQA, T2I-CompBench's judge of attributes: the probability that the answer to a question is yes.

ViT-B with CapFilt-L. Where BLIP's own code and transformers' differ, this follows BLIP: the picture is squeezed to 480 x 480,
a question begins with [ENC] and not with [CLS], and the picture tower's layer norms have BLIP's epsilon.

The weights come as BLIP published them (`official:FILE.pth`, or in the cache: exact) or in transformers' format
(`official:FOLDER`, or the hub's copy, whose grid of positions was resized to pictures of 384 pixels and is resized back: not
exact). BLIP published a second file of this architecture, so that only a file's digest tells.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from PIL import Image
from torch import nn

from suder_bench.benchmark import Match
from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges import manifest as manifests
from suder_bench.evaluators.judges.blip_weights import read_checkpoint
from suder_bench.evaluators.judges.manifest import Manifest
from suder_bench.evaluators.judges.protocols import Picture
from suder_bench.evaluators.judges.weights import (
    OPENAI_MEAN,
    OPENAI_STD,
    Place,
    load_pretrained,
    pixels,
    prepared,
    weights_file,
)

if TYPE_CHECKING:
    from transformers import BlipForQuestionAnswering, PreTrainedTokenizerBase

SIDE = 480
MAX_TOKENS = 35
VISION_EPSILON = 1e-6
HUB, VOCABULARY = "Salesforce/blip-vqa-capfilt-large", "bert-base-uncased"
PICTURES = 8
"""To a batch, whatever number of questions they get."""

Questions = Sequence[Sequence[int]]
"""The tokens of each question about one picture."""


class BlipVqa:
    """Implements `VisualQuestionAnswerer`. `exact` is true for the file of weights that the benchmark names."""

    def __init__(
        self, model: BlipForQuestionAnswering, tokenizer: PreTrainedTokenizerBase, place: Place, *, match: Match, name: str
    ) -> None:
        config: Any = model.config
        text = config.text_config
        self.match, self.exact = match, match == "exact"
        self.backend = f"blip:{name}" if match == "another file" else "blip-vqa-capfilt-large"
        for module in model.vision_model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = VISION_EPSILON
        self.fingerprint = place.fingerprint(model, tokenizer)
        self._model, self._tokenizer, self._place = place.put(model), tokenizer, place
        self._dec: int = text.bos_token_id
        self._enc = self._dec + 1
        vocabulary = tokenizer.get_vocab()
        self._answers = [vocabulary["yes"], vocabulary["no"]]

    @classmethod
    def load(cls, reference: str | None, *, device: str, dtype: str, offline: bool, manifest: Manifest | None = None) -> Self:
        """Read BLIP's checkpoint file, or a folder or hub id in transformers' format; without a reference, the file that was
        fetched or else the hub's copy.

        A file is read with the vocabulary in its folder (vocab.txt), or else with BERT's. Raises `JudgeError` where the
        weights cannot be had.
        """
        from transformers import BertTokenizer, BlipForQuestionAnswering

        place, fetched = Place.choose(device, dtype, half_on_cuda=False), _fetched(manifest)
        source = reference or (str(fetched) if fetched.is_file() else HUB)
        name = Path(source).name if os.path.exists(source) else source
        if os.path.isfile(source):
            match = manifests.match("vqa", Path(source), manifest)
            return cls(read_checkpoint(Path(source)), _vocabulary(source, offline=offline), place, match=match, name=name)
        model = load_pretrained("vqa", BlipForQuestionAnswering, source, offline=offline)
        tokenizer = load_pretrained("vqa", BertTokenizer, source, offline=offline)
        if not _answers_in(tokenizer):
            raise JudgeError(f"judge vqa: {source} lacks its vocabulary (vocab.txt or tokenizer.json)")
        match = manifests.match("vqa", weights_file(source), manifest)
        return cls(model, tokenizer, place, match=match, name=name)

    def p_yes(self, pictures: Sequence[Picture], questions: Sequence[Sequence[str]]) -> list[list[float]]:
        answers: list[list[float]] = [[] for _ in pictures]
        asked = [row for row, (_, own) in enumerate(zip(pictures, questions, strict=True)) if own]
        for batch, squares in prepared([pictures[row] for row in asked], _prepare, PICTURES):
            rows = [asked[index] for index in batch]
            ids = [[self._ids(question) for question in questions[row]] for row in rows]
            for row, found in zip(rows, self._answer(self._see(squares), ids), strict=True):
                answers[row] = found
        return answers

    def check(self) -> None:
        """A plain red picture is more red than blue, and a blue one the other way round. Raises `JudgeError`."""
        for color, other in (("red", "blue"), ("blue", "red")):
            ((p, q),) = self.p_yes(
                [Image.new("RGB", (SIDE, SIDE), color)], [[f"is the picture {color}?", f"is the picture {other}?"]]
            )
            if not p > q:
                raise JudgeError(f"a {color} picture is {color} with p = {p:.2f} and {other} with p = {q:.2f}; wrong weights?")

    def _ids(self, question: str) -> list[int]:
        cut = self._tokenizer(question, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        return [self._enc, *cut[1:]]

    @torch.inference_mode()
    def _see(self, squares: torch.Tensor) -> torch.Tensor:
        """(pictures, patches + 1, width)."""
        with self._place.precision():
            return self._model.vision_model(squares.to(self._place.device), interpolate_pos_encoding=True).last_hidden_state

    @torch.inference_mode()
    def _answer(self, seen: torch.Tensor, questions: Sequence[Questions]) -> list[list[float]]:
        """p(yes) of each question about the picture in its row of `seen`."""
        with self._place.precision():
            read = self._read(seen, questions)
            found = iter(self._decode(read))
        return [[next(found) for _ in own] for own in questions]

    def _read(self, seen: torch.Tensor, questions: Sequence[Questions]) -> list[torch.Tensor]:
        """The states (length, width) of each question.

        All questions about one picture are one row, in which each sees only itself, so that every layer projects the
        picture's 901 patches once and not once a question, which would cost as much as the picture tower.
        """
        rows = [[token for own in asked for token in own] for asked in questions]
        places = [[place for own in asked for place in range(len(own))] for asked in questions]
        owners = [[number for number, own in enumerate(asked) for _ in own] for asked in questions]
        ids, positions, owner = (_padded(lists, value, seen.device) for lists, value in ((rows, 0), (places, 0), (owners, -1)))
        apart = owner[:, None, :, None] != owner[:, None, None, :]
        mask = torch.zeros(apart.shape, device=seen.device).masked_fill(apart, float("-inf"))
        states = self._model.text_encoder(
            input_ids=ids, position_ids=positions, attention_mask=mask, encoder_hidden_states=seen
        ).last_hidden_state
        return [
            state
            for asked, row in zip(questions, states, strict=True)
            for state in row[: sum(map(len, asked))].split([len(own) for own in asked])
        ]

    def _decode(self, read: Sequence[torch.Tensor]) -> list[float]:
        """p(yes) of each question, from one decoder step after [DEC].

        Only questions of one length share a batch: transformers (5.23) passes BLIP's cross-attention no mask, so that
        the decoder would look at padding too.
        """
        found = [0.0] * len(read)
        for length in sorted({len(states) for states in read}):
            places = [place for place, states in enumerate(read) if len(states) == length]
            states = torch.stack([read[place] for place in places])
            start = torch.full((len(places), 1), self._dec, device=states.device)
            logits = self._model.text_decoder(input_ids=start, encoder_hidden_states=states).logits[:, -1, self._answers]
            for place, p in zip(places, torch.softmax(logits.float(), dim=-1)[:, 0].tolist(), strict=True):
                found[place] = p
        return found


def _fetched(manifest: Manifest | None) -> Path:
    return manifests.of("vqa", manifest)[0].place(manifests.folder())


def _vocabulary(file: str, *, offline: bool) -> Any:
    """The tokenizer for a checkpoint, which holds none."""
    from transformers import BertTokenizer

    beside = os.path.join(os.path.dirname(os.path.abspath(file)), "vocab.txt")
    if os.path.isfile(beside):
        tokenizer = BertTokenizer(beside)
    else:
        tokenizer = load_pretrained("vqa", BertTokenizer, VOCABULARY, offline=offline)
    if not _answers_in(tokenizer):  # without its file transformers makes an empty one
        raise JudgeError(
            f"judge vqa: neither a vocab.txt beside {file} nor {VOCABULARY} is here; put the latter's vocab.txt there, or run:"
            " suder-bench judges fetch vqa"
        )
    return tokenizer


def _answers_in(tokenizer: Any) -> bool:
    return {"yes", "no"} <= tokenizer.get_vocab().keys()


def _padded(lists: Sequence[Sequence[int]], value: int, device: torch.device) -> torch.Tensor:
    """(lists, the longest's length)."""
    return nn.utils.rnn.pad_sequence([torch.tensor(own) for own in lists], batch_first=True, padding_value=value).to(device)


def _prepare(picture: Picture) -> torch.Tensor:
    return pixels(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), OPENAI_MEAN, OPENAI_STD)
