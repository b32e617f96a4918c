"""What a `--model` asks of its adapter besides the checkpoint: `ADAPTER:REFERENCE?NAME=VALUE&NAME=VALUE`.

It is part of the reference, so that it goes wherever the reference goes (workers, run.json, a resumed run), and two runs with
other settings have other names. Only the adapters of `TAKEN` are read so; a `?` in another's address or path is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from suder_bench.errors import UserError, unknown

TAKEN: Mapping[str, tuple[str, ...]] = {"emu3": ("image_area", "negative_prompt")}
"""The names that each adapter takes."""


def split(adapter: str, reference: str) -> tuple[str, dict[str, str]]:
    """The reference alone, and what it asks for. Raises `UserError` for a name that the adapter does not take."""
    if adapter not in TAKEN or Path(reference).expanduser().is_dir():
        return reference, {}
    alone, _, asked = reference.partition("?")
    pairs = parse_qsl(asked, keep_blank_values=True)
    found = dict(pairs)
    for name in found:
        if name not in TAKEN[adapter]:
            raise unknown(f"setting of {adapter}", name, TAKEN[adapter])
    if len(found) < len(pairs) or (asked and not pairs):
        raise UserError(f"model '{reference}' does not say NAME=VALUE once for each setting behind its '?'")
    return alone, found


def join(adapter: str, reference: str, asked: Mapping[str, str]) -> str:
    """The reference that asks for `asked` too. Raises `UserError` for what the adapter does not take, or was given already."""
    if not asked:
        return reference
    takers = [name for name, taken in TAKEN.items() if set(asked) <= set(taken)]
    if adapter not in takers:
        flags = ", ".join("--" + name.replace("_", "-") for name in asked)
        raise UserError(f"{flags} says nothing to a model of adapter '{adapter}' (choices: {', '.join(takers)}); leave it out")
    alone, found = split(adapter, reference)
    twice = sorted(set(found) & set(asked))
    if twice:
        raise UserError(f"model '{reference}' and its flag both give {twice[0]}; leave one out")
    return f"{alone}?{urlencode({**found, **asked})}"
