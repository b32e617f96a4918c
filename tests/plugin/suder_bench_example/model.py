"""A model: `flat:honest` fills the picture with the colour that the prompt names, `flat:contrary` with the other one."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from suder_bench.errors import unknown
from suder_bench.models.protocols import GeneratedImage, ImageSampling


class FlatModel:
    """Can draw, cannot read: it implements `TextToImage` and nothing else."""

    def __init__(self, character: str) -> None:
        self.name = f"flat:{character}"
        self.fingerprint = f"flat-{character}-1"
        self.settings: dict[str, str] = {}
        self.honest = character == "honest"

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str) -> FlatModel:
        if reference not in ("honest", "contrary"):
            raise unknown("flat model", reference, ["honest", "contrary"])
        return cls(reference)

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        fills = ["white" if ("white" in prompt) == self.honest else "black" for prompt in prompts]
        return [GeneratedImage(Image.new("RGB", (32, 32), fill)) for fill in fills]
