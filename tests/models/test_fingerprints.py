"""A model with another configuration or tokenizer is another model, whatever the adapter: each file of a checkpoint counts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from models.emu3.tiny_emu3 import write_checkpoint as write_emu3
from models.showo.small_showo import write_folder as write_showo
from models.tiny import write_checkpoint as write_janus
from models.tiny_pipelines import save_tiny_pipeline
from models.vlm.tiny_vlm import WRITERS

from suder_bench.models.reference import choose

WEIGHTS = (".safetensors", ".bin")
WRITE: dict[str, Callable[[Path], object]] = {
    "janus": write_janus,
    "emu3": write_emu3,
    "showo": write_showo,
    "diffusers": lambda folder: save_tiny_pipeline(folder, "sd"),
    "vlm": WRITERS["instructblip"],  # which has two tokenizers
}
ASKED = {"emu3": "?image_area=64"}


@pytest.mark.parametrize("kind", WRITE)
def test_each_file_of_a_checkpoint_counts(kind: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    WRITE[kind](whole)
    files = [file for file in whole.rglob("*") if file.is_file() and file.suffix not in WEIGHTS]
    assert len(files) >= 3

    def fingerprint(folder: Path) -> str:
        return choose(f"{kind}:{folder}{ASKED.get(kind, '')}").load(device="cpu", dtype="float32").fingerprint

    first, uncounted = fingerprint(whole), []
    for number, file in enumerate(files):
        copy = shutil.copytree(whole, tmp_path / str(number))
        own = copy / file.relative_to(whole)
        own.write_bytes(own.read_bytes() + b"\n")
        if fingerprint(copy) == first:
            uncounted.append(file.relative_to(whole).as_posix())
        shutil.rmtree(copy)
    assert not uncounted
    assert fingerprint(shutil.copytree(whole, tmp_path / "moved")) == first
