"""run.json: the recipe of a score, and the refusal to mix two recipes in one folder."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from suder_bench.benchmark import Benchmark, KnowsOrigin, TellsRules, WordsQuestions
from suder_bench.data.source import Source
from suder_bench.errors import UserError
from suder_bench.models.protocols import ImageSampling, Model, TellsItsParts, TextSampling
from suder_bench.models.reference import ModelReference
from suder_bench.runs.deviations import noted
from suder_bench.runs.plan import Settings, Task
from suder_bench.terms import USUAL, Terms
from suder_bench.world.version import VERSION

Recipe = dict[str, Any]

SCHEMA = 1
_PACKAGES = ("suder-bench", "torch", "transformers", "diffusers", "numpy", "pillow")


def recipe_of(run: str, settings: Settings, tasks: Sequence[Task], model: Mapping[str, Any]) -> Recipe:
    """run.json before anything is judged. `model` is what `model_entry` returns, or came from an earlier run.json."""
    source = settings.source
    return {
        "schema": SCHEMA,
        "run": run,
        "suite": settings.suite,
        "model": dict(model),
        "data": {"source": source.kind, "size": source.size, "folder": None if source.path is None else str(source.path)},
        "world": source.world,
        "benchmarks": {
            task.name: {"protocol": task.protocol, "samples": len(task.samples), "repeats": task.repeats, "data": task.data}
            | style_of(task.benchmark)
            | origin_of(task.benchmark)
            | ({} if task.text is None else {"text": asdict(task.text)})
            | ({"rules": task.benchmark.rules} if isinstance(task.benchmark, TellsRules) else {})
            | noted(rewritten={}, left_out=task.left_out, unofficial=task.unofficial)
            for task in tasks
        },
        "protocol": settings.protocol,
        "seed": settings.seed,
        **settings.limited.recorded(),
        "repeats": settings.repeats,
        "sampling": {"image": settings.image.said(), "text": asdict(settings.text)},
        "device": settings.device,
        "dtype": settings.dtype,
        **({"allow_missing": settings.allow_missing} if settings.allow_missing else {}),
        **({"prompt_style": settings.prompt_style} if settings.prompt_style else {}),
        "judges": {},
        **judge_settings(settings),
        "versions": versions(),
    }


def style_of(benchmark: Benchmark) -> dict[str, str]:
    """How a benchmark's questions are put, and that this is not its usual way where it is not."""
    if not isinstance(benchmark, WordsQuestions):
        return {}
    unusual = {"worded": benchmark.prompt_style} if benchmark.prompt_style != benchmark.usual_style else {}
    return {"prompt_style": benchmark.prompt_style, **unusual}


def origin_of(benchmark: Benchmark) -> dict[str, str]:
    """Which set of the hub a benchmark's questions are, where they are one that was fetched."""
    return {"origin": benchmark.origin} if isinstance(benchmark, KnowsOrigin) and benchmark.origin else {}


@dataclass(frozen=True)
class Introduction:
    """What a loaded model tells that goes into run.json; `cut` and `rewritten` prompts by benchmark."""

    fingerprint: str
    settings: Mapping[str, str]
    parts: Mapping[str, str] = field(default_factory=dict)
    cut: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rewritten: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def model_entry(reference: ModelReference, model: Model | Introduction) -> dict[str, Any]:
    """What run.json says of a loaded model."""
    return {
        "name": reference.name,
        "adapter": reference.adapter,
        "fingerprint": model.fingerprint,
        "parts": dict(model.parts) if isinstance(model, TellsItsParts) else {},
        "settings": dict(model.settings),
        "files": reference.stamp(),
    }


def judge_settings(settings: Settings) -> dict[str, Any]:
    """What run.json says of how the judges were asked for."""
    return {
        "judge_choice": dict(settings.judges),
        "judge_device": settings.judge_device,
        "judge_dtype": settings.judge_dtype,
        "judge_args": {role: dict(given) for role, given in settings.terms.arguments.items()},
    }


def settings_of(
    recipe: Mapping[str, Any],
    *,
    judges: Mapping[str, str],
    judge_device: str = "cpu",
    judge_dtype: str = "auto",
    known_answers: bool = True,
    terms: Terms = USUAL,
    offline: bool,
) -> Settings:
    """The settings that run.json tells, to score its responses again; what concerns the judges is the caller's."""
    data = recipe["data"]
    return Settings(
        suite=recipe["suite"],
        benchmarks=tuple(recipe["benchmarks"]),
        source=Source(data["source"], size=data["size"], path=None if data["folder"] is None else Path(data["folder"])),
        protocol=recipe["protocol"],
        seed=recipe["seed"],
        limit=recipe["limit"],
        limits=recipe.get("limits", {}),
        repeats=recipe["repeats"],
        image=ImageSampling(**recipe["sampling"]["image"]),
        text=TextSampling(**recipe["sampling"]["text"]),
        device=recipe["device"],
        dtype=recipe["dtype"],
        judges=judges,
        judge_device=judge_device,
        judge_dtype=judge_dtype,
        known_answers=known_answers,
        terms=terms,
        offline=offline,
        allow_missing=recipe.get("allow_missing", 0),
        prompt_style=recipe.get("prompt_style"),
    )


class ChangedModelError(UserError):
    """The model is another than the one that a folder's responses are of."""


def refuse_change(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise `UserError`, of the model `ChangedModelError`, naming the first setting in which two recipes would make different
    responses.

    More or fewer samples, repeats or benchmarks of the suite are no such setting: every response stays what it is.
    Judges, versions and where the data lie are none either; what the data hold is.
    """
    was = {name: (value, shown) for name, value, shown in _responsible(old)}
    for name, value, shown in _responsible(new):
        if name in was and was[name][0] != value:
            kind = ChangedModelError if name.partition(" ")[0] == "model" else UserError
            raise kind(
                f"{folder} was made with {name} {was[name][1]}, not {shown}; start over with --fresh, or choose another --out"
            )


def versions() -> dict[str, str | None]:
    return {"python": platform.python_version(), **{package: _installed(package) for package in _PACKAGES}, "world": VERSION}


@cache
def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _responsible(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """(name, value, value as shown) of what decides responses; a setting that only one recipe has cannot differ."""
    sampling, model = recipe["sampling"], recipe["model"]
    settings: dict[str, Any] = {"suite": recipe["suite"]}
    for name, entry in recipe["benchmarks"].items():
        settings |= {f"{name} protocol": entry["protocol"]}
        settings |= {f"{name} prompt style": entry["prompt_style"]} if "prompt_style" in entry else {}
        settings |= {f"{name} data": entry["data"]}
        settings |= {f"{name} text {what}": value for what, value in entry.get("text", {}).items()}
    settings |= {"seed": recipe["seed"], **sampling["image"]}
    settings |= {f"text {name}": value for name, value in sampling["text"].items()}
    settings |= {"device": recipe["device"], "dtype": recipe["dtype"]}
    for name, value in settings.items():
        yield name, value, f"'{value}'" if isinstance(value, str) else str(value)
    for part, digest in model.get("parts", {}).items():
        yield f"model {part}", digest, f"{digest[:12] or 'none'} of '{model['name']}'"
    if "fingerprint" in model:
        yield "model", model["fingerprint"], f"'{model['name']}' (weights {model['fingerprint'][:12]})"
        for name, value in model["settings"].items():
            yield f"model setting {name}", value, f"'{value}'"
