"""A checkpoint's folder, wherever it is: on the disk, or in the hub's cache once it was fetched."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download

from suder_bench.errors import UserError
from suder_bench.proxies import before_the_hub

FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
"""What is fetched: no code, and pickled weights only where there are no others."""

PICKLES = ["pytorch_model*.bin"]


def folder_of(reference: str) -> Path:
    """The folder that `reference` is, or of that hub id. Raises `UserError` with the hub's own reason where it is neither."""
    folder = Path(reference).expanduser()
    if folder.is_dir():
        return folder
    try:
        found = Path(snapshot_download(reference, allow_patterns=FILES))
        if not list(found.glob("*.safetensors")):
            found = Path(snapshot_download(reference, allow_patterns=[*FILES, *PICKLES]))
        return found
    except Exception as error:  # offline, gated, misspelt: the hub's own words tell which
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"model '{reference}' is neither a folder nor a hub id that could be fetched: {reason}{before_the_hub(error)}"
        ) from error
