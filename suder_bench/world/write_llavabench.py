"""LLaVA-Bench's questions, contexts, reference answers (what is true of the scene) and judge's rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from suder_bench.world import questions
from suder_bench.world.examples import TWO_THINGS, Size, scene, stream, write_json_lines, write_png, write_text
from suder_bench.world.facts import facts

COUNTS = {
    "full": {"images": 240, "conv": 170, "detail": 150, "complex": 280},
    "quick": {"images": 12, "conv": 8, "detail": 6, "complex": 10},
}
"""Ten times the official numbers, which are too few to tell a difference of a few points, and a small file."""

RULE = """Two assistants answered the user's question about an image that you cannot see; the context tells what it shows.
Judge how helpful, relevant, accurate and detailed each answer is, and give each a score from 1 to 10, 10 being best.
Write the two scores, and nothing else, on the first line: the score of Assistant 1, a space, the score of Assistant 2.
From the second line on, explain the scores. Do not let the order of the answers sway you."""

FAMILIES = (*TWO_THINGS, "spatial", "3d_spatial", "non_spatial", "complex", "position")
"""Scenes of two things: enough for every category of questions."""


def write(folder: Path, size: Size) -> None:
    counts = COUNTS[size]
    categories = [c for c in questions.DETAIL for _ in range(counts[c])]
    scenes = [scene(FAMILIES, stream("llavabench", i)) for i in range(counts["images"])]
    for i, drawn in enumerate(scenes):
        write_png(drawn, folder / "images" / image(i))
    write_json_lines(folder / "context.jsonl", ({"image": image(i), "caption": facts(s)} for i, s in enumerate(scenes)))
    order = stream("llavabench/order", 0).permutation(len(categories))
    asked: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for number, k in enumerate(order):
        i = number * len(scenes) // len(categories)
        rng = stream("llavabench/questions", number)
        text, sentences = questions.detail(scenes[i], rng, categories[k])
        while any(row["text"] == text and row["image"] == image(i) for row in asked):
            text, sentences = questions.detail(scenes[i], rng, categories[k])
        asked.append({"question_id": number, "image": image(i), "category": categories[k], "text": text})
        answer = {"question_id": number, "prompt": text, "answer_id": f"world-{number}", "model_id": "world"}
        answers.append(answer | {"text": " ".join(sentences)})
    write_json_lines(folder / "questions.jsonl", asked)
    write_json_lines(folder / "answers_gpt4.jsonl", answers)
    rules = {f"llava_bench_{category}": {"role": "Assistant", "prompt": RULE} for category in questions.DETAIL}
    write_text(folder / "rule.json", json.dumps(rules, indent=2) + "\n")


def image(i: int) -> str:
    return f"{i + 1:03d}.png"
