"""Models that answer every question alike, and one that knows which text it finds likeliest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image

from suder_bench.models.protocols import TextSampling

SAID = {
    "yes": "yes",
    "nothing": "",
    "prose": "Certainly, there is much for the eyes here, and nobody would settle it lightly.",
    "long": "very " * 9_999 + "well",
}


@dataclass
class Says:
    """Has one answer to everything."""

    text: str
    name: str
    fingerprint: str
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str) -> Says:
        return cls(SAID[reference], f"says:{reference}", reference)

    def answer(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[str]:
        return [self.text] * len(questions)


@dataclass
class Likes:
    """Finds texts the likelier, the earlier they stand in `order`; writes nothing. `asked` are the texts of each call."""

    order: Sequence[str] = ()
    name: str = "likes"
    fingerprint: str = "1"
    settings: dict[str, str] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)

    def text_logprobs(self, images: Sequence[Image.Image], texts: Sequence[str]) -> list[torch.Tensor]:
        """One token of the question, and one of the answer."""
        self.asked.append(list(texts))
        self.shown.append(len({id(image) for image in images}))
        places = [self.order.index(text.rpartition(": ")[2]) for text in texts]
        return [torch.tensor([-7.0, -float(place)]) for place in places]
