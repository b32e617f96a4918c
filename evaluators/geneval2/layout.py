"""Where GenEval 2's pictures lie: its script reads a JSON object of prompts and files; a run's own are numbered by line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from suder_bench.endings import is_picture
from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import shown
from suder_bench.evaluators.answers.files import json_document
from suder_bench.records import Sample, Stranger

PATHS = "image_paths.json"
_PICTURE = re.compile(r"(\d{5})\.png")


def image_path(index: int) -> str:
    return f"{index:05d}.png"


def find(folder: Path, samples: Sequence[Sample]) -> tuple[list[tuple[Sample, int, Path]], list[Stranger]]:
    """The pictures in the samples' order, and those of none.

    `image_paths.json` in the folder, {prompt: file}, decides where it is there; its files are relative to the folder. Else a
    picture is called by the number of its prompt's line, from 00000.png on.
    """
    listed = folder / PATHS
    found, strange = _listed(listed, samples) if listed.is_file() else _numbered(folder, samples)
    return [(sample, 0, found[sample.id]) for sample in samples if sample.id in found], strange


def _listed(listed: Path, samples: Sequence[Sample]) -> tuple[dict[str, Path], list[Stranger]]:
    files = json_document(listed)
    if not isinstance(files, Mapping) or not all(isinstance(file, str) for file in files.values()):
        raise UserError(f"{listed}: expected an object of prompts and files, found {shown(files)}")
    by_prompt = {sample.prompt: sample for sample in samples}
    found = {by_prompt[prompt].id: listed.parent / file for prompt, file in files.items() if prompt in by_prompt}
    for file in found.values():
        if not file.is_file():
            raise UserError(f"{listed} names {file}, which is missing; put the picture there, or take its prompt out")
    others = (prompt for prompt in files if prompt not in by_prompt)
    return found, [Stranger(listed.parent / files[prompt], f"no prompt of GenEval 2 is '{prompt}'") for prompt in others]


def _numbered(folder: Path, samples: Sequence[Sample]) -> tuple[dict[str, Path], list[Stranger]]:
    found: dict[str, Path] = {}
    strange: list[Stranger] = []
    for file in _pictures(folder):
        match = _PICTURE.fullmatch(file.name)
        if match is None:
            strange.append(Stranger(file, "its name is not <line>.png with five digits"))
        elif int(match[1]) >= len(samples):
            strange.append(Stranger(file, f"there are only {len(samples)} prompts"))
        else:
            found[samples[int(match[1])].id] = file
    return found, strange


def _pictures(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.glob("*")) if file.is_file() and is_picture(file))
