"""What a judge needs from outside the package, and the commands that bring it: what `suder-bench doctor` looks at."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from suder_bench.data.source import cache
from suder_bench.errors import install
from suder_bench.evaluators.judges.official import WEIGHTS


@dataclass(frozen=True)
class Needs:
    """`packages` as pip names them and `install` brings them; `weights` by name, whether they are here, and how to get them.

    Without `weights` only the judge itself can tell whether it finds them.
    """

    packages: tuple[str, ...]
    install: str
    weights: str = ""
    found: bool = True
    download: str = ""


def needs_of(role: str, backend: str) -> Needs | None:
    """Of a judge that ships here and needs something; None for any other."""
    from suder_bench.evaluators.judges import blip_vqa
    from suder_bench.evaluators.judges.mmdet_weights import ADDRESS, CHECKPOINT
    from suder_bench.evaluators.judges.open_vocabulary import HUB

    file = cache() / "weights" / CHECKPOINT
    download = f"curl -L --create-dirs -o {file} {ADDRESS}"
    match role, backend:
        case "detector", "official":
            return Needs((), "", CHECKPOINT, file.is_file(), download)
        case "detector", "mmdet":
            return Needs(("mmdet",), install("mmdet"), CHECKPOINT, file.is_file(), download)
        case "vqa", "official":
            file = cache() / "weights" / blip_vqa.CHECKPOINT
            hub = _from_hub(blip_vqa.HUB)
            download = f"curl -L --create-dirs -o {file} {blip_vqa.ADDRESS}"
            return hub if hub.found and not file.is_file() else Needs((), "", blip_vqa.CHECKPOINT, file.is_file(), download)
        case "parser", "official":
            model = WEIGHTS[role]
            there, fetch = find_spec(model) is not None, f"python -m spacy download {model}"
            return Needs(("spacy",), "pip install spacy", model, there, fetch)
        case _, "open-clip":
            return Needs(("open-clip-torch",), install("clip"))
        case _, "open-vocabulary":
            return _from_hub(HUB)
        case _, "official" if WEIGHTS.get(role):
            return _from_hub(WEIGHTS[role])
    return None


def _from_hub(reference: str) -> Needs:
    from huggingface_hub import try_to_load_from_cache

    found = isinstance(try_to_load_from_cache(reference, "config.json"), str)
    return Needs((), "", reference, found, f"hf download {reference}")
