"""What a `--model` asks of its adapter besides the checkpoint: `ADAPTER:REFERENCE?NAME=VALUE&NAME=VALUE`.

It is part of the reference, so that it goes wherever the reference goes (workers, run.json, a resumed run), and two runs with
other settings have other names. Only the adapters of `TAKEN` are read so; a `?` in another's address or path is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from suder_bench.errors import UserError, unknown
from suder_bench.models.hub import HUB_ID, is_folder

NONFINITE, TRUST, NO_CAPTURE = "allow_nonfinite", "trust_remote_code", "no_capture"
FLAGS = (NONFINITE, TRUST, NO_CAPTURE)
"""Settings that are there or not; `YES` is their one value."""

YES = "true"

TAKEN: Mapping[str, tuple[str, ...]] = {
    "janus": (NONFINITE, NO_CAPTURE),
    "emu3": ("image_area", "negative_prompt", NONFINITE),
    "showo": ("vq", "tokenizer", "vision", "estimator", "drop", "fill", "draws", NONFINITE),
    "vlm": FLAGS,
    "diffusers": (NONFINITE,),
}
"""The names that each adapter takes."""

_WHY = {TRUST: ", which runs no code of a checkpoint"}


def split(adapter: str, reference: str) -> tuple[str, dict[str, str]]:
    """The reference alone, and what it asks for. Raises `UserError` for a name that the adapter does not take."""
    if adapter not in TAKEN:
        return reference, {}
    alone, _, asked = cut(reference)
    pairs = parse_qsl(asked, keep_blank_values=True)
    found = dict(pairs)
    for name in found:
        if name in FLAGS and name not in TAKEN[adapter]:
            raise _untaken(adapter, name)
        if name not in TAKEN[adapter]:
            raise unknown(f"setting of {adapter}", name, TAKEN[adapter])
        if name in FLAGS and found[name] != YES:
            raise UserError(f"model '{reference}': {name} is '{found[name]}'; write {name}={YES}, or leave it out")
    if len(found) < len(pairs) or (asked and not pairs):
        raise UserError(f"model '{reference}' does not say NAME=VALUE once for each setting behind its '?'")
    return alone, found


def cut(reference: str) -> tuple[str, str, str]:
    """What stands before the '?' of settings, that sign, and the settings. A folder's name may hold such a sign too: what names
    checkpoints that are there, a folder or several joined by pluses, is taken whole, else the first sign counts."""
    for end in [len(reference), *(place for place in reversed(range(len(reference))) if reference[place] == "?")]:
        if _is_there(reference[:end]):
            return reference[:end], reference[end : end + 1], reference[end + 1 :]
    return reference.partition("?")


def _is_there(text: str) -> bool:
    if is_folder(text):
        return True
    adapter, colon, reference = text.partition(":")
    text = reference if colon and adapter in TAKEN else text
    pairs = ((text[:place], text[place + 1 :]) for place, sign in enumerate(text) if sign == "+")
    names = (first for first, second in pairs if is_folder(second))
    return is_folder(text) or any(is_folder(name) or HUB_ID.fullmatch(name) is not None for name in names)


def join(adapter: str, reference: str, asked: Mapping[str, str]) -> str:
    """The reference that asks for `asked` too. Raises `UserError` for what the adapter does not take, or was given already."""
    if not asked:
        return reference
    for name in asked:
        if name not in TAKEN.get(adapter, ()):
            raise _untaken(adapter, name)
    alone, found = split(adapter, reference)
    twice = sorted(name for name in set(found) & set(asked) if name not in FLAGS)
    if twice:
        raise UserError(f"model '{reference}' and its flag both give {twice[0]}; leave one out")
    return f"{alone}?{urlencode({**found, **asked})}"


def asks(query: str, name: str) -> bool:
    """Whether what stands behind a reference's '?' gives a setting."""
    return name in dict(parse_qsl(query, keep_blank_values=True))


def option(name: str) -> str:
    """The flag of the command line for a setting."""
    return "--" + name.replace("_", "-")


def _untaken(adapter: str, name: str) -> UserError:
    takers = ", ".join(taker for taker, taken in TAKEN.items() if name in taken)
    why = _WHY.get(name, "")
    return UserError(f"{option(name)} says nothing to a model of adapter '{adapter}'{why} (choices: {takers}); leave it out")
