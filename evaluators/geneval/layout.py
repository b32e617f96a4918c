"""GenEval's file layout: `00000/metadata.jsonl` says what was asked, `00000/samples/00000.png` and so on were drawn.

The official script reads what was asked from the folder alone, and neither its number nor the wording of its prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suder_bench.endings import is_picture
from suder_bench.records import Sample, Stranger

SIDECAR = "metadata.jsonl"
_PICTURE = re.compile(r"(\d+)\.png")


@dataclass
class Layout:
    """`pictures` are (sample, repeat, file), `rewritten` the prompts that pictures of a sample id were made from instead."""

    pictures: list[tuple[Sample, int, Path]] = field(default_factory=list)
    strangers: list[Stranger] = field(default_factory=list)
    rewritten: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Owner:
    """Whose pictures a folder holds, and the prompt they were made from where that is not the sample's."""

    sample: Sample
    prompt: str | None = None


def read(folder: Path, samples: Sequence[Sample], metadata: Path) -> Layout:
    """All pictures of a folder; those of a sample are numbered from 0 in order, through all folders that are its own.

    `metadata` is the file of the samples, for the reasons.
    """
    layout = Layout()
    made: dict[str, int] = {}
    by_task: dict[str, list[Sample]] = {}
    for sample in samples:
        by_task.setdefault(_task(sample.truth), []).append(sample)
    for prompt_folder, files, others in _prompt_folders(folder):
        owner = _owner(prompt_folder, samples, by_task, metadata)
        if isinstance(owner, str):
            layout.strangers += [Stranger(file, owner) for file in (*files, *others)]
            continue
        first = made.get(owner.sample.id, 0)
        made[owner.sample.id] = first + len(files)
        layout.pictures += [(owner.sample, repeat, file) for repeat, file in enumerate(files, start=first)]
        layout.strangers += [Stranger(file, "its name is not <number>.png", owner.sample) for file in others]
        if owner.prompt is not None and files:
            layout.rewritten.setdefault(owner.sample.id, owner.prompt)
    layout.pictures.sort(key=lambda entry: (entry[0].id, entry[1]))
    return layout


def _owner(prompt_folder: Path, samples: Sequence[Sample], by_task: Mapping[str, list[Sample]], metadata: Path) -> Owner | str:
    """Who owns a folder, or why nobody does.

    Samples that were asked the same are told apart by their prompt, and by the folder's number where it is one of theirs.
    """
    sidecar, number = prompt_folder / SIDECAR, int(prompt_folder.name)
    if not sidecar.is_file():
        return Owner(samples[number]) if number < len(samples) else f"there are only {len(samples)} prompts in {metadata}"
    try:
        record = json.loads(sidecar.read_text(encoding="utf-8"))
        prompt, asked = record["prompt"], _task(record)
    except (ValueError, TypeError, KeyError, RecursionError, OSError) as error:
        return f"its {SIDECAR} is not one JSON object with tag, include and prompt ({error})"
    alike = by_task.get(asked, [])
    worded = [sample for sample in alike if sample.prompt == prompt]
    own = [sample for sample in samples[number : number + 1] if any(sample is one for one in worded or alike)]
    chosen = own or worded or alike
    if not chosen:
        return f"the prompt of its {SIDECAR} is not in {metadata}, nor another that asks for the same"
    return Owner(chosen[0], None if worded else str(prompt))


def _task(record: Mapping[str, Any]) -> str:
    """What the rules see of a record."""
    return json.dumps([record["tag"], record["include"], record.get("exclude") or []], sort_keys=True)


def _prompt_folders(folder: Path) -> Iterator[tuple[Path, list[Path], list[Path]]]:
    """The folders with digits for a name, by number, each with its pictures by number and with those of other names."""
    folders = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()]
    for prompt_folder in sorted(folders, key=lambda path: (int(path.name), path.name)):
        there = sorted(file for file in prompt_folder.glob("samples/*") if file.name[0] != ".")
        numbered = {file: int(match[1]) for file in there if (match := _PICTURE.fullmatch(file.name))}
        others = [file for file in there if file not in numbered and (is_picture(file) or _PICTURE.match(file.name))]
        yield prompt_folder, sorted(numbered, key=lambda file: (numbered[file], file)), others
