"""What a judge needs from outside the package, and the commands that bring it: what `suder-bench doctor` looks at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

from suder_bench.errors import install
from suder_bench.evaluators.judges import manifest
from suder_bench.evaluators.judges.fetching import command
from suder_bench.evaluators.judges.spacy_parser import INSTALL, MODEL


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
    from suder_bench.evaluators.judges import blip_vqa, dpt, open_vocabulary
    from suder_bench.evaluators.judges.official import HUB_IDS

    elsewhere = {**HUB_IDS, "vqa": blip_vqa.HUB, "depth": dpt.HUB}
    match role, backend:
        case _, "unidet":
            return _fetched(role)
        case "detector", "mmdet":
            return _fetched(role, ("mmdet",), install("mmdet"))
        case "parser", "official":
            needs = _fetched(role, ("spacy",), INSTALL)
            return replace(needs, found=needs.found or find_spec(MODEL) is not None)
        case _, "open-clip":
            return Needs(("open-clip-torch",), install("clip"))
        case _, "open-vocabulary":
            return Needs((), "", open_vocabulary.HUB, _cached(open_vocabulary.HUB), f"hf download {open_vocabulary.HUB}")
        case _, "official" if role in manifest.roles():
            needs = _fetched(role)
            copy = elsewhere.get(role)
            return Needs((), "", copy) if copy and not needs.found and _cached(copy) else needs
    return None


def _fetched(role: str, packages: tuple[str, ...] = (), install: str = "") -> Needs:
    weights = manifest.of(role)
    found = all(weight.place(manifest.folder()).is_file() for weight in weights)
    return Needs(packages, install, weights[0].name, found, command(*weights))


def _cached(reference: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(reference, "config.json"), str)
