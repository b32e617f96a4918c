"""T2I-ReasonBench's prompts and their questions, in the official files; each criterion is a sentence of the world's grammar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suder_bench.world import riddles
from suder_bench.world.examples import Size, write_text
from suder_bench.world.language import article
from suder_bench.world.riddles import Riddle
from suder_bench.world.scenes import Phrase
from suder_bench.world.write_wise import some

PROMPTS = {"quick": 12, "full": 200}
"""In each dimension."""

ALL_CLEAR, SOME_CLEAR, NONE_CLEAR = "everything is clear", "something is clear", "nothing is clear"
"""Criteria of image quality: how sure it is what is drawn."""

NAMES = {
    "idiom_interpretation": "idiom",
    "textual_image_design": "textual_image",
    "entity_reasoning": "entity",
    "scientific_reasoning": "scientific",
}
"""Dimension -> what its file of questions is called after. The official names are not alike."""


def write(folder: Path, size: Size) -> None:
    made = {
        "idiom_interpretation": list(riddles.idioms()),
        "textual_image_design": list(riddles.designs()),
        "entity_reasoning": [*riddles.hues(), *riddles.offspring()],
        "scientific_reasoning": [*riddles.mixtures(), *riddles.buoyancies(), *riddles.mirrors()],
    }
    for i, (dimension, found) in enumerate(made.items()):
        chosen = some(found, PROMPTS[size], "t2i-reasonbench", i)
        prompts = [{"id": n, **_prompt(dimension, riddle)} for n, riddle in enumerate(chosen, start=1)]
        questions = [_questions(dimension, n, riddle) for n, riddle in enumerate(chosen, start=1)]
        _write(folder / "prompts" / f"{dimension}.json", prompts)
        _write(folder / "deepseek_evaluation_qs" / f"evaluation_{NAMES[dimension]}.json", questions)


def _prompt(dimension: str, riddle: Riddle) -> dict[str, str]:
    if dimension == "idiom_interpretation":
        told = {"idiom": riddle.clue, "idiom_meaning": riddle.meant}
    else:
        told = {} if dimension == "textual_image_design" else {"explicit_meaning": riddle.meant}
    return {"prompt": riddle.prompt, **told, "tag": riddle.clue}


def _questions(dimension: str, number: int, riddle: Riddle) -> dict[str, Any]:
    """The groups of a prompt; now and then with keys of another form, as some official ones have them."""
    reasoned = [(f"Is this what the image shows: {riddle.meant}?", _criterion(riddle.meant, riddle.partly, "neither"))]
    details = [
        (f"Is there {article(phrase.noun)} in the image?", _criterion(article(phrase.noun), "", f"no {phrase.noun}"))
        for phrase in _distinct(riddle)
    ]
    quality = [
        ("Is everything in the image drawn clearly?", _criterion(ALL_CLEAR, SOME_CLEAR, NONE_CLEAR)),
        ("Can anything be made out?", _criterion(SOME_CLEAR, "", NONE_CLEAR)),
    ]
    starts = ("aq", "ac") if number % 10 == 5 else ("q", "c")
    if dimension in ("idiom_interpretation", "textual_image_design"):
        groups = {"reason_evaluation": reasoned + details}
    else:
        groups = {f"{NAMES[dimension]}_evaluation": reasoned, "other_details_evaluation": details}
    keyed = {name: _keyed(asked, *starts) for name, asked in {**groups, "quality_evaluation": quality}.items()}
    return {"id": number, "prompt": riddle.prompt, "image_content": riddle.meant, **keyed}


def _criterion(right: str, half: str, wrong: str) -> str:
    return f"1: {right}; " + (f"0.5: {half}; " if half else "") + f"0: {wrong}"


def _keyed(asked: list[tuple[str, str]], question: str, criterion: str) -> dict[str, str]:
    numbered = enumerate(asked, start=1)
    return {key: text for i, pair in numbered for key, text in zip((f"{question}{i}", f"{criterion}{i}"), pair, strict=True)}


def _distinct(riddle: Riddle) -> Iterator[Phrase]:
    return iter({phrase.noun: phrase for phrase in riddle.description.phrases}.values())


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    write_text(file, json.dumps(rows, indent=4) + "\n")
