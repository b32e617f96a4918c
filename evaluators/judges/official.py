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
| parser | spaCy en_core_web_sm 3.5.0 |
| llm, mllm, first-token | an OpenAI-type endpoint |

Their files stand in `weights.csv`, and `suder-bench judges fetch` brings them.
"""

from __future__ import annotations

import os
from typing import Any

from suder_bench.errors import JudgeError, unknown
from suder_bench.evaluators.judges import manifest as manifests
from suder_bench.evaluators.judges.manifest import Manifest

HUB_IDS = {"color": "openai/clip-vit-large-patch14", "clip": "openai/clip-vit-base-patch32"}
"""Where CLIP is looked for when `suder-bench judges fetch` has not brought it."""

FROM_FILES = ("vqa", "depth", "parser")
"""Roles of judges that read a single file, beside the detectors, which say themselves what they lack."""

ROLES = ("detector", "detector-2d", "detector-3d", "color", "vqa", "clip", "depth", "parser", "llm", "mllm", "first-token")


def load(
    role: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
    source: str | None = None,
    manifest: Manifest | None = None,
) -> Any:
    """The official judge of a role; `source` is a local folder, a hub id, a file for those that read one, or "URL#MODEL" for
    an endpoint. `manifest` says what the official weights must hash to, as `manifest.official()` does where it is None.

    Raises `JudgeError` on one line: which judge, which weights, how to get them.
    """
    if role not in ROLES:
        raise unknown("judge role", role, ROLES)
    source = _expanded(role, source)
    settings: dict[str, Any] = {"device": device, "dtype": dtype, "offline": offline}
    match role:
        case "detector":
            from suder_bench.evaluators.judges.mask2former import Mask2Former

            return Mask2Former.load(source, manifest=manifest, **settings)
        case "detector-2d" | "detector-3d":
            from suder_bench.evaluators.judges.unidet import UniDet

            return UniDet.load(role, source, manifest=manifest, **settings)
        case "color" | "clip":
            from suder_bench.evaluators.judges.clip import ClipColors, ClipSimilarity, TransformersTowers

            towers = TransformersTowers.load(role, source or _clip(role, manifest), manifest=manifest, **settings)
            return ClipColors(towers) if role == "color" else ClipSimilarity(towers)
        case "vqa":
            from suder_bench.evaluators.judges.blip_vqa import BlipVqa

            return BlipVqa.load(source, manifest=manifest, **settings)
        case "depth":
            from suder_bench.evaluators.judges.dpt import DptDepth

            return DptDepth.load(source, manifest=manifest, **settings)
        case "parser":
            from suder_bench.evaluators.judges.spacy_parser import SpacyParser

            return SpacyParser.load(source, manifest=manifest, **settings)
        case _:
            from suder_bench.evaluators.judges.endpoint import Endpoint

            return Endpoint.load_as(role, source or "", offline=offline)


def _expanded(role: str, source: str | None) -> str | None:
    """Raises `JudgeError` for a path where nothing lies that the judge of the role reads."""
    if source is None or role.startswith("detector") or not source.startswith(("/", ".", "~")):
        return source
    path = os.path.expanduser(source)
    if not os.path.isdir(path) and not (role in FROM_FILES and os.path.isfile(path)):
        raise JudgeError(f"judge {role}: there is no folder {path}")
    return path


def _clip(role: str, manifest: Manifest | None) -> str:
    fetched = manifests.of(role, manifest)[0].place(manifests.folder())
    return str(fetched.parent) if fetched.is_file() else HUB_IDS[role]
