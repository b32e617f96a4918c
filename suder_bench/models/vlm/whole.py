"""What can be told of a vision-language checkpoint without reading a tensor. No torch."""

from __future__ import annotations

from pathlib import Path

from suder_bench.errors import UserError
from suder_bench.models import checkpoint
from suder_bench.models.vlm import code
from suder_bench.models.vlm.families import OTHERS_OWN, served


def check(folder: Path, *, trusted: bool = False) -> None:
    """Raises `UserError` for a folder that holds no whole checkpoint, naming what is missing or not whole, or that needs code of
    its own which is not `trusted`."""
    checkpoint.check_described(folder)
    kind = checkpoint.read_json(folder / checkpoint.CONFIG).get("model_type")
    if not isinstance(kind, str):
        raise UserError(f"{folder / checkpoint.CONFIG}: model_type is {kind!r}, not the name of a transformers model")
    if kind in OTHERS_OWN:
        raise UserError(f"model '{folder}' has model_type '{kind}', which has its own adapter; write {kind}:{folder}")
    code.check(folder, trusted=trusted, served=served(kind))
    checkpoint.check_parts(folder)
