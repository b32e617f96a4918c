"""What a server says of its model in /v1/models, and what that lets a run control."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suder_bench.errors import UserError, unknown
from suder_bench.models.openai.place import Place
from suder_bench.remote.chat import whole_letters
from suder_bench.remote.client import Client, DeniedError, Outcome, Request
from suder_bench.remote.words import one_line

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
    estimator: str
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
            "log p(text)": f"{self.scorer} ({self.estimator})" if self.scorer else "not offered",
        }


def ask(client: Client, place: Place) -> Told:
    """Raises `UserError` for a server that cannot be asked, and for a model that it does not list."""
    [outcome] = client.ask([Request("/models")])
    entry = _entry(outcome, client, place)
    umm = entry.get("umm")
    return _assumed(entry, place) if not isinstance(umm, Mapping) else _described(umm, entry, place)


def _assumed(entry: Mapping[str, Any], place: Place) -> Told:
    """Of a server that lists no abilities: that it draws and answers, and heeds seeds and guidance if it is known to."""
    owner = str(entry.get("owned_by"))
    heeded = owner in SEEDED if place.seed is None else place.seed
    return Told(
        telling=False,
        tasks=frozenset({"generate", "answer"}),
        settings=None,
        scorer="prompt_logprobs" if owner == "vllm" else None,
        estimator="exact",
        seeded={"pictures": heeded, "answers": heeded},
        guided=owner in SEEDED,
        image_size=None,
        revision=None,
        fingerprint=_fingerprint(entry, place.model, place.url),
    )


def _described(umm: Mapping[str, Any], entry: Mapping[str, Any], place: Place) -> Told:
    tasks = frozenset(task for task in TASKS if task in _listed(umm.get("tasks")))
    told, estimators = umm.get("settings"), umm.get("estimator")
    settings = None
    if isinstance(told, Mapping):
        settings = {str(name): frozenset(map(str, _listed(names))) for name, names in told.items()}
    seeded = {
        what: "seed" in settings.get(function, ()) if settings is not None and place.seed is None else bool(place.seed)
        for what, function in (("pictures", "generate"), ("answers", "answer"))
        if function in tasks
    }
    revision = None if umm.get("revision") is None else _shown(umm["revision"])
    return Told(
        telling=True,
        tasks=tasks,
        settings=settings,
        scorer="loglikelihood" if "score_text" in tasks else None,
        estimator=_shown(estimators.get("score_text")) if isinstance(estimators, Mapping) else "not told how",
        seeded=seeded,
        guided=settings is not None and "guidance_scale" in settings.get("generate", ()),
        image_size=_size(umm.get("image_size")),
        revision=revision,
        fingerprint=_fingerprint(entry, place.model, place.url if revision is None else None),
    )


def _fingerprint(entry: Mapping[str, Any], model: str, url: str | None) -> str:
    """`url` where nothing else tells two models of one name apart."""
    standing = json.dumps([url, model, {name: entry.get(name) for name in _STANDING}], sort_keys=True)
    return hashlib.sha256(standing.encode()).hexdigest()[:16]


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


def _shown(value: Any) -> str:
    """What a server tells, as run.json can hold it."""
    return whole_letters(one_line(str(value)))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _size(value: Any) -> str | None:
    """ "512x384" of [512, 384]."""
    sides = _listed(value)
    return f"{sides[0]}x{sides[1]}" if len(sides) == 2 and all(type(side) is int and side > 0 for side in sides) else None
