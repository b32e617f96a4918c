"""Checkpoints of the hub: what they say of themselves, and their folder in the hub's cache once they were fetched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.proxies import before_the_hub

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

SAFE = "*.safetensors"
FILES = ["*.json", SAFE, "*.txt", "*.model", "*.jinja"]
"""What is fetched: no code unless it is trusted, and pickled weights only where there are no others."""

CODE = ["*.py"]
PICKLES = ["pytorch_model*.bin", "adapter_model.bin"]
KINDS = ("model_index.json", "config.json", "adapter_config.json")
"""One of these says of which kind a checkpoint is."""

TELLING = [*KINDS, "generation_config.json"]
"""Small files, fetched before anything is drawn: the kind, and the guidance that the checkpoint asks for."""


def is_folder(reference: str) -> bool:
    """Whether it is a folder here; a text that is too long to be a file's name is none."""
    return os.path.isdir(os.path.expanduser(reference))


def folder_of(reference: str, *, code: bool = False, weights: bool = True) -> Path:
    """The folder that `reference` is, or of that hub id, fetched with its `code` if that is trusted, and its `weights` if they
    are needed.

    Raises `UserError` with the hub's own reason where it is neither.
    """
    folder = Path(reference).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    files = [*(one for one in FILES if weights or one != SAFE), *(CODE if code else [])]
    with fetching(reference):
        found = Path(snapshot_download(reference, allow_patterns=files))
        if weights and not list(found.glob(SAFE)):
            found = Path(snapshot_download(reference, allow_patterns=[*files, *PICKLES]))
    return found


def description(reference: str) -> Path:
    """The folder with the small files of a hub id: in the hub's cache, where they are fetched into otherwise.

    Raises `UserError` with what to do where they cannot be had, or say of no kind.
    """
    found = cached(reference)
    if found is not None:
        return found
    from huggingface_hub import snapshot_download

    with fetching(reference, cure=f"give its folder, or fetch it with a network first: hf download {reference}"):
        found = Path(snapshot_download(reference, allow_patterns=TELLING))
    if not any((found / name).is_file() for name in KINDS):
        raise UserError(f"model '{reference}' of the hub holds no {' or '.join(KINDS)}; name the adapter: ADAPTER:{reference}")
    return found


def cached(reference: str) -> Path | None:
    """The snapshot of a hub id in the hub's cache, where it holds a file that says of which kind it is."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = [try_to_load_from_cache(reference, name) for name in KINDS]
    except ValueError:  # no name that the hub allows; loading says so
        return None
    return next((Path(one).parent for one in found if isinstance(one, str)), None)


@contextmanager
def fetching(reference: str, what: str = "hub id", cure: str = "") -> Iterator[None]:
    """One `UserError` of one line for whatever the hub's client raises: offline, gated, misspelt; its own words tell which."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        told = f"{reason}{before_the_hub(error)}" + (f"; {cure}" if cure else "")
        raise UserError(f"model '{reference}' is neither a folder nor a {what} that could be fetched: {told}") from error
