"""Pipelines of diffusers as models that draw: Stable Diffusion 1.5 to 3.5, SDXL, FLUX, PixArt, Sana, Qwen-Image and others.

Pictures are drawn one by one: in float32 on a processor, pixels of a batch of three differed by up to 4e-6 from those drawn
alone for each of four architectures (UNet, SD3, FLUX, PixArt; two steps), so that a batch would decide what is rounded up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from PIL import Image

from suder_bench import machine
from suder_bench.errors import UserError
from suder_bench.models import arguments
from suder_bench.models.diffusion import defaults, reading, weights
from suder_bench.models.protocols import GeneratedImage, ImageSampling


class DiffusersModel:
    """Implements `TextToImage`, `ChecksSampling` and `CutsPrompts`. Wraps a pipeline in memory, or `load`s a folder or hub id.

    Without a number of steps, or of guidance, in the sampling of `generate` the pipeline's own hold.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        name: str = "diffusers",
        fingerprint: str = "in memory",
        parts: Mapping[str, str] | None = None,
        off: Sequence[str] = (),
        variant: str | None = None,
    ):
        """`parts` are the digests that `fingerprint` sums up; `off` the components of the pipeline that were not loaded."""
        pipeline.set_progress_bar_config(disable=True)
        for network in _networks(pipeline):
            network.eval()
        self.pipeline = pipeline
        self.name = name
        self.fingerprint = fingerprint
        self.parts = dict(parts or {})
        self.own = defaults.of_class(type(pipeline))
        self.limits = reading.limits(pipeline, self.own)
        self.settings = {
            "adapter": "diffusers",
            "pipeline": self.own.pipeline,
            "dtype": ", ".join(sorted({str(part.dtype).removeprefix("torch.") for part in _networks(pipeline)})),
            "variant": variant or "none",
            "scheduler": type(pipeline.scheduler).__name__ if "scheduler" in pipeline.components else "several",
            "own steps": str(self.own.steps),
            "own guidance": f"{self.own.guidance_name} {self.own.guidance:g}",
            "guidance": _kind_of_guidance(pipeline, self.own),
            "negative prompt": repr(self.own.negative) if self.own.negative is not None else "the pipeline's own",
            "fixed arguments": ", ".join(f"{key}={value}" for key, value in self.own.fixed.items()) or "none",
            "prompt length": ", ".join(f"{reader} {tokens:,} tokens" for reader, tokens in self.limits.items()) or "not known",
            "switched off": ", ".join(off) or "nothing",
            "noise": "one generator on the CPU a picture, from the sample's seed; drawn one by one",
            "size": "the pipeline's own",
        }

    @classmethod
    def load(cls, reference: str, *, device: str = "cpu", dtype: str = "auto") -> Self:
        """Read a folder or hub id in diffusers' format. `device` and `dtype` as `suder_bench.machine` has them.

        Raises `UserError` for a wrong reference, and for a pipeline that is incomplete, draws from more than a text, or holds
        weights that are NaN or infinite without `?allow_nonfinite=true`; safety checkers and watermarks are left out.
        """
        alone, asked = arguments.split("diffusers", reference)
        defaults.of(alone)  # before gigabytes are fetched
        place = torch.device(machine.choose_device(device))
        kind = getattr(torch, machine.choose_dtype(dtype, place.type))
        allowed = arguments.NONFINITE in asked
        found = weights.load(weights.find(alone), device=place, dtype=kind, allow_nonfinite=allowed)
        parts, off, variant = found.parts, found.off, found.variant
        made = cls(found.pipeline, name=reference, fingerprint=found.fingerprint, parts=parts, off=off, variant=variant)
        made.settings |= found.notes
        return made

    def check_sampling(self, sampling: ImageSampling) -> None:
        """Raises `UserError` for a temperature: noise is drawn as the pipeline was trained for."""
        if sampling.temperature != 1:
            raise UserError(f"model '{self.name}' draws from noise, without a temperature; leave out --temperature")

    def cut_prompts(self, prompts: Sequence[str]) -> dict[str, int]:
        """See `CutsPrompts`."""
        return reading.cut(self.pipeline, self.limits, prompts)

    @torch.no_grad()
    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        """One picture per prompt, of the pipeline's own size; see `TextToImage`."""
        self.check_sampling(sampling)
        guidance = self.own.guidance if sampling.guidance is None else sampling.guidance
        arguments = self.own.arguments(guidance, sampling.steps or self.own.steps)
        with weights.quiet():
            return [self._draw(prompt, seed, arguments) for prompt, seed in zip(prompts, seeds, strict=True)]

    def _draw(self, prompt: str, seed: int, arguments: Mapping[str, Any]) -> GeneratedImage:
        noise = torch.Generator("cpu").manual_seed(seed)
        drawn = np.asarray(self.pipeline(prompt=prompt, generator=noise, output_type="np", **arguments).images[0])
        if not np.isfinite(drawn).all():
            raise UserError(
                f"model '{self.name}': a picture has pixels that are NaN or infinite; --dtype float32 holds larger numbers"
            )
        return GeneratedImage(Image.fromarray((drawn.clip(0, 1) * 255).round().astype(np.uint8)))


def _networks(pipeline: Any) -> list[Any]:
    return [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]


def _kind_of_guidance(pipeline: Any, own: defaults.Defaults) -> str:
    """Whether guidance is computed, or a number that a distilled network reads, or reads not even that."""
    embeds = getattr(getattr(getattr(pipeline, "transformer", None), "config", None), "guidance_embeds", None)
    if embeds is None or own.guidance_name != "guidance_scale":
        return "two passes a step"
    return (
        "distilled: the network reads the number" if embeds else "distilled: the network reads no number, and --guidance is idle"
    )
