"""What a pipeline of diffusers is called with: its own steps and guidance, and what would depend on the machine held fast."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError, install
from suder_bench.models import hub
from suder_bench.models.diffusion import files

BLANK = " "
"""The negative prompt of pipelines whose guidance needs one, as Qwen-Image's card has it: without any they draw unguided, and
only a warning says so."""

GUIDANCES = ("guidance_scale", "prior_guidance_scale")
_PICTURED = ("num_frames", "control_image", "conditioning_image")
"""Parameters of pipelines that draw films, or draw after another picture."""


@dataclass(frozen=True)
class Defaults:
    """Of one pipeline class: `guidance_name` is the parameter that guidance goes to, `fixed` what it is always called with."""

    pipeline: str
    guidance_name: str
    guidance: float
    steps: int
    fixed: Mapping[str, Any]
    negative: str | None = None
    reads: int | None = None

    def arguments(self, guidance: float, steps: int) -> dict[str, Any]:
        """What to call the pipeline with, besides the prompt and the noise."""
        negative = {} if self.negative is None or guidance <= 1 else {"negative_prompt": self.negative}
        return {"num_inference_steps": steps, self.guidance_name: guidance, **negative, **self.fixed}


def library() -> Any:
    """The package. Raises `UserError` with the command that brings it."""
    try:
        import diffusers
    except ImportError as error:
        raise UserError(f"models of diffusers need the package diffusers ({error}); run: {install('diffusers')}") from None
    return diffusers


def pipeline_class(name: str) -> Any:
    """The class of a pipeline that draws from a text. Raises `UserError` for another."""
    package = library()
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    known = {kind.__name__: kind for kind in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}
    if name not in known:
        raise UserError(
            f"{files.INDEX} names {name}, which diffusers {package.__version__} does not count among its pipelines from text to"
            f" picture (AutoPipelineForText2Image: {', '.join(list(known)[:3])}, ...); give one of those, or another diffusers"
        )
    return known[name]


def of_class(kind: Any) -> Defaults:
    """What a pipeline class says of itself. Raises `UserError` where it cannot draw from a text alone, or not in steps."""
    call = {name: parameter.default for name, parameter in inspect.signature(kind.__call__).parameters.items()}
    pictured = [name for name in _PICTURED if name in call] + ["a controlnet"] * ("Control" in kind.__name__)
    steps = call.get("num_inference_steps")
    guiding = {name: call[name] for name in GUIDANCES if isinstance(call.get(name), int | float)}
    needs_negative = not guiding and isinstance(call.get("true_cfg_scale"), int | float)
    if pictured or not isinstance(steps, int) or not (guiding or needs_negative):
        what = f"asks for {pictured[0]}" if pictured else "has no number of steps or guidance of its own"
        raise UserError(f"a {kind.__name__} {what}, which no benchmark gives it; choose a pipeline that draws from a text alone")
    name, guidance = ("true_cfg_scale", call["true_cfg_scale"]) if needs_negative else next(iter(guiding.items()))
    fixed = {"clean_caption": False} if "clean_caption" in call else {}
    reads = call.get("max_sequence_length")
    return Defaults(
        kind.__name__,
        name,
        float(guidance),
        steps,
        fixed,
        BLANK if needs_negative else None,
        reads if isinstance(reads, int) else None,
    )


def of(reference: str) -> Defaults:
    """The defaults of a folder or hub id, of which only model_index.json is read. Raises `UserError`."""
    return of_class(pipeline_class(files.read_index(_index_of(reference))["_class_name"]))


def _index_of(reference: str) -> Path:
    folder = Path(reference).expanduser()
    if folder.is_dir():
        files.check(folder)
        return folder / files.INDEX
    from huggingface_hub import hf_hub_download

    with hub.fetching(reference, "pipeline of the hub"):
        return Path(hf_hub_download(reference, files.INDEX))
