"""What a server says of its model in /v1/models, and what that lets a run control."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suder_bench.errors import UserError, unknown
from suder_bench.models.openai.place import Place
from suder_bench.remote.client import Client, DeniedError, Outcome, Request

SEEDED = ("vllm", "sglang", "vllm-omni")
"""Who owns the models of servers that are known to heed `seed`."""

UNCONTROLLED = "not controlled"
"""What run.json says of a setting that the server decides, as `suder_bench.testing` reads it."""

NO_LIST = (404, 405, 501)
TASKS = ("generate", "answer", "score_text", "score_image")
_STANDING = ("id", "root", "parent", "owned_by", "max_model_len", "umm")
"""Of an entry what does not change when the server is started again."""


@dataclass(frozen=True)
class Told:
    """`tasks` are what the model can do; `settings` the names that requests of a task may set, None where all may be tried.

    `telling`: the server says so itself. `scorer` is how log p(text | picture) is asked for: "loglikelihood",
    "prompt_logprobs" or nothing.
    """

    telling: bool
    tasks: frozenset[str]
    settings: Mapping[str, frozenset[str]] | None
    scorer: str | None
    seeded: Mapping[str, bool]
    guided: bool
    image_size: str | None
    revision: str | None
    fingerprint: str

    def takes(self, function: str, name: str) -> bool:
        """Whether a request of that function may hold the setting, as far as is known."""
        return self.settings is None or name in self.settings.get(function, frozenset())

    def described(self) -> dict[str, str]:
        """For run.json."""
        controlled = {True: "the sample's, its low 31 bits", False: UNCONTROLLED}
        first = next(iter(self.seeded), None)
        tasks = ", ".join(task for task in TASKS if task in self.tasks)
        return {
            "tasks": tasks if self.telling else f"{tasks} (assumed)",
            "revision": self.revision or "not told",
            "seed": UNCONTROLLED if first is None else controlled[self.seeded[first]],
            **{f"seed of {what}": controlled[heeded] for what, heeded in self.seeded.items() if what != first},
            "guidance": "as asked for, else the server's own" if self.guided else UNCONTROLLED,
            "log p(text)": self.scorer or "not offered",
        }


def ask(client: Client, place: Place) -> Told:
    """Raises `UserError` for a server that cannot be asked, and for a model that it does not list."""
    [outcome] = client.ask([Request("/models")])
    entry = _entry(outcome, client, place)
    umm = entry.get("umm") if isinstance(entry.get("umm"), Mapping) else None
    owner = str(entry.get("owned_by"))
    revision = None if umm is None or umm.get("revision") is None else str(umm["revision"])
    known_by = place.url if revision is None else None  # all that tells two models of one name apart
    standing = json.dumps([known_by, place.model, {name: entry.get(name) for name in _STANDING}], sort_keys=True)
    fingerprint = hashlib.sha256(standing.encode()).hexdigest()[:16]
    if umm is None:
        heeded = owner in SEEDED if place.seed is None else place.seed
        scorer = "prompt_logprobs" if owner == "vllm" else None
        seeded = {"pictures": heeded, "answers": heeded}
        return Told(False, frozenset({"generate", "answer"}), None, scorer, seeded, owner in SEEDED, None, None, fingerprint)
    tasks = frozenset(task for task in TASKS if task in _listed(umm.get("tasks")))
    told = umm.get("settings")
    settings = None
    if isinstance(told, Mapping):
        settings = {str(name): frozenset(map(str, _listed(names))) for name, names in told.items()}
    seeded = {
        what: "seed" in settings.get(function, ()) if settings is not None and place.seed is None else bool(place.seed)
        for what, function, task in (("pictures", "generate", "generate"), ("answers", "answer", "answer"))
        if task in tasks
    }
    scorer = "loglikelihood" if "score_text" in tasks else None
    guided = settings is not None and "guidance_scale" in settings.get("generate", ())
    return Told(True, tasks, settings, scorer, seeded, guided, _size(umm.get("image_size")), revision, fingerprint)


def _entry(outcome: Outcome, client: Client, place: Place) -> Mapping[str, Any]:
    """The model's entry, or nothing where the server has no list."""
    if isinstance(outcome, DeniedError) and outcome.http in NO_LIST:
        return {}
    if isinstance(outcome, UserError):
        raise outcome
    try:
        listed = [entry for entry in json.loads(outcome)["data"] if isinstance(entry, Mapping)]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise UserError(
            f"{client.who}: {place.url}/models is no list of models; is the address right (does it end in /v1)?"
        ) from None
    found = next((entry for entry in listed if entry.get("id") == place.model), None)
    if found is None and listed:
        raise unknown(f"model of {place.url}", place.model, [client.plain(str(entry.get("id"))) for entry in listed[:50]])
    return found or {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _size(value: Any) -> str | None:
    """ "512x384" of [512, 384]."""
    sides = _listed(value)
    return f"{sides[0]}x{sides[1]}" if len(sides) == 2 and all(type(side) is int and side > 0 for side in sides) else None
