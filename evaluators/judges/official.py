"""The judges that the benchmarks themselves name, by role.

| role | judge |
|---|---|
| detector | Mask2Former Swin-S, GenEval's mmdet checkpoint |
| color | CLIP ViT-L/14, OpenAI |
| vqa | BLIP VQA, ViT-B with CapFilt-L |
| clip | CLIP ViT-B/32, OpenAI |
| detector-2d | UniDet RS200 |
| detector-3d | UniDet R50 |
| depth | DPT-Hybrid MiDaS |
| parser | spaCy en_core_web_sm |
| llm, mllm | an OpenAI-type endpoint |
"""

from __future__ import annotations

import os
from typing import Any

from suder_bench.errors import JudgeError, unknown

WEIGHTS = {
    "detector": "",
    "color": "openai/clip-vit-large-patch14",
    "vqa": "",
    "clip": "openai/clip-vit-base-patch32",
    "depth": "Intel/dpt-hybrid-midas",
    "parser": "en_core_web_sm",
    "llm": "",
    "mllm": "",
}
"""Where a judge's weights come from unless `--judge role=official:SOURCE` says otherwise: a hub id, or a spaCy model.

Nothing stands for an endpoint's settings, and for those that know a file of their own (detector, vqa).
"""

ABSENT = {
    "detector-2d": ("UniDet RS200 (Unified_learned_OCIM_RS200_6x+2x)", "T2I-CompBench's 2D_spatial_eval.py"),
    "detector-3d": ("UniDet R50 (Unified_learned_OCIM_R50_6x+2x)", "T2I-CompBench's 3D_spatial_eval.py and numeracy_eval.py"),
}
"""Networks without a back-end in this version, and the official script that runs them on the same picture folder."""


def load(role: str, *, device: str = "auto", dtype: str = "auto", offline: bool = False, source: str | None = None) -> Any:
    """The official judge of a role; `source` is a local folder, a hub id, a checkpoint file for those that read one, or
    "URL#MODEL" for an endpoint.

    Raises `JudgeError` on one line: which judge, which weights, how to get them.
    """
    if role in ABSENT:
        network, script = ABSENT[role]
        raise JudgeError(
            f"judge {role}: {network} has no back-end in this version; give --judge {role}=file:FILE with the detections that"
            f" {script} made (docs/detections.md), or --judge {role}=open-vocabulary, which is not comparable"
        )
    if role not in WEIGHTS:
        raise unknown("judge role", role, (*WEIGHTS, *ABSENT))
    if role == "detector":  # also reads a single file
        from suder_bench.evaluators.judges.mask2former import Mask2Former

        return Mask2Former.load(source, device=device, dtype=dtype, offline=offline)
    reference = WEIGHTS[role] if source is None else source
    if source is not None and source.startswith(("/", ".", "~")):
        reference = os.path.expanduser(source)
        if not os.path.isdir(reference) and not (role == "vqa" and os.path.isfile(reference)):
            raise JudgeError(f"judge {role}: there is no folder {source}")
    match role:
        case "color":
            from suder_bench.evaluators.judges.clip import ClipColors, TransformersTowers

            return ClipColors(TransformersTowers.load(role, reference, device=device, dtype=dtype, offline=offline))
        case "clip":
            from suder_bench.evaluators.judges.clip import ClipSimilarity, TransformersTowers

            return ClipSimilarity(TransformersTowers.load(role, reference, device=device, dtype=dtype, offline=offline))
        case "vqa":
            from suder_bench.evaluators.judges.blip_vqa import BlipVqa

            return BlipVqa.load(None if source is None else reference, device=device, dtype=dtype, offline=offline)
        case "depth":
            from suder_bench.evaluators.judges.dpt import DptDepth

            return DptDepth.load(reference, device=device, dtype=dtype, offline=offline)
        case "parser":
            from suder_bench.evaluators.judges.spacy_parser import SpacyParser

            return SpacyParser.load(reference, device=device, dtype=dtype, offline=offline)
        case _:
            from suder_bench.evaluators.judges.endpoint import Endpoint

            return Endpoint.load_as(role, reference, offline=offline)
