"""What lmms-eval is told of a model (`--model_args`, `--batch_size`, `--device`) and of its answers (`generation_kwargs`).

Needs no lmms-eval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args, get_type_hints

from suder_bench.errors import UserError, unknown
from suder_bench.models.protocols import TextSampling
from suder_bench.runs.batches import AUTO

MODES = ("auto", "understanding", "generation")

PARAGRAPH = "\n\n"
"""lmms-eval's own stop where a task names none, which would cut an answer off behind its first paragraph."""

UNFOLLOWED: Mapping[str, tuple[Any, ...]] = {
    "top_p": (None, 0, 1),
    "top_k": (None, 0),
    "num_beams": (None, 1),
    "repetition_penalty": (None, 1),
}
"""Settings of a task that no model of ours follows, with the values that ask for nothing."""


@dataclass(frozen=True)
class Arguments:
    """`pretrained` is what `suder-bench run --model` takes. `seed` is that of `run`; `temperature`, `guidance` and `steps` are
    of drawing, None for the model's own. `mode` says what tasks want of the model, where their names do not; `pictures` is the
    folder of those that it draws. So many as `allow_missing` questions may go without an answer."""

    pretrained: str
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | str = "auto"
    seed: int = 0
    max_new_tokens: int = 1024
    temperature: float = 1.0
    guidance: float | None = None
    steps: int | None = None
    mode: str = "auto"
    pictures: str = "logs/suder_bench"
    allow_missing: int = 0

    def __post_init__(self) -> None:
        """Raises `UserError` for what is of the wrong kind, too small or no choice."""
        for name, hint in get_type_hints(type(self)).items():
            value, kinds = getattr(self, name), get_args(hint) or (hint,)
            if isinstance(value, bool) or not isinstance(value, (*kinds, int) if float in kinds else kinds):
                raise UserError(f"{name}={value} of --model_args is not {_WORDS[kinds[0]]}")
        for name, least in (("seed", 0), ("max_new_tokens", 1), ("allow_missing", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name}={getattr(self, name)} of --model_args is not a whole number from {least} on")
        if self.batch_size != "auto" and (isinstance(self.batch_size, str) or self.batch_size < 1):
            raise UserError(f"batch size '{self.batch_size}' is neither auto nor a whole number from 1 on")
        if self.mode not in MODES:
            raise unknown("mode", self.mode, MODES)

    @property
    def at_once(self) -> int:
        """Responses made together at first."""
        return self.batch_size if isinstance(self.batch_size, int) else AUTO


_WORDS = {str: "a name", int: "a whole number", float: "a number"}


def read(given: Mapping[str, Any], beside: Mapping[str, Any]) -> Arguments:
    """`given` are those of `--model_args`, which win; `beside` are `batch_size`, `max_batch_size` and `device` of lmms-eval's
    command line. Raises `UserError` for what is unknown, of the wrong kind, or missing.

    lmms-eval's default batch size, the number 1, is taken for none given: what is written on the command line is a word.
    """
    known = [field.name for field in fields(Arguments)]
    for name in given:
        if name not in known:
            raise unknown("model argument", name, known)
    if "pretrained" not in given:
        raise UserError("--model_args names no model; write pretrained=tiny-janus, pretrained=FOLDER or what --model takes")
    asked = {name: value for name, value in beside.items() if value is not None and name in known}
    if isinstance(asked.get("batch_size"), int):
        del asked["batch_size"]
    if beside.get("max_batch_size") is not None and str(asked.get("batch_size", "auto")).startswith("auto"):
        asked["batch_size"] = beside["max_batch_size"]
    both = {**asked, **given}
    size = str(both.get("batch_size", "auto"))
    both["batch_size"] = int(size) if size.isdecimal() else "auto" if size.startswith("auto:") else size
    return Arguments(**both | {name: str(both[name]) for name in ("pretrained", "pictures") if name in both})


def text_sampling(asked: Mapping[str, Any], most: int) -> TextSampling:
    """How answers are written, from a task's `generation_kwargs`; `most` new tokens where it names no number. `do_sample` decides
    as in transformers, and where it is not there a temperature other than 0 does. Raises `UserError` for what is no number."""
    try:
        temperature = float(asked.get("temperature") or 0)
        limit = int(asked.get("max_new_tokens") or asked.get("max_gen_toks") or most)
    except (TypeError, ValueError) as error:
        raise UserError(f"generation_kwargs {dict(asked)}: {error}") from None
    if not asked.get("do_sample", temperature != 0):
        return TextSampling(0.0, limit)
    return TextSampling(temperature or 1.0, limit)


def unfollowed(asked: Mapping[str, Any]) -> list[str]:
    """'top_p 0.9' for each of the settings that are not followed and would change an answer."""
    samples = text_sampling(asked, 1).temperature > 0
    names = [name for name in UNFOLLOWED if samples or not name.startswith("top_")]
    return [f"{name} {asked[name]}" for name in names if asked.get(name) not in UNFOLLOWED[name]]


def stops(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Words that end an answer. The empty paragraph is none of them: see `PARAGRAPH`."""
    given = asked.get("until") or ()
    words = (given,) if isinstance(given, str) else tuple(given)
    return tuple(word for word in words if word and word != PARAGRAPH)


def cut(answer: str, words: tuple[str, ...]) -> str:
    """What stands before the first of the words."""
    return answer[: min([answer.find(word) for word in words if word in answer], default=len(answer))].strip()
