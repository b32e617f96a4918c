"""T2I-CompBench's attribute binding: one yes/no question per noun chunk, and the product of their probabilities.

Huang et al. 2023, "T2I-CompBench", section 4.1 ("disentangled BLIP-VQA").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from suder_bench.evaluators.judges.protocols import Parse, VisualQuestionAnswerer
from suder_bench.evaluators.t2i_compbench.finding import Finding

SKIPPED_CHUNKS = frozenset({"top", "the side", "the left", "the right"})
MAX_QUESTIONS = 8
MAX_WORDS = 50


def questions(parse: Parse) -> list[str]:
    """ "a green bench?" for each noun chunk, cleaned as BLIP cleans its questions; at most eight."""
    chunks = [chunk for chunk in parse.noun_chunks if chunk not in SKIPPED_CHUNKS]
    return [_clean(f"{chunk}?") for chunk in chunks[:MAX_QUESTIONS]]


def attribute_score(probabilities: Sequence[float]) -> float:
    """The product of the probabilities in order, each rounded to four decimals as the official files store them; 1 for none."""
    product = np.float32(1)
    for p in probabilities:
        product = product * np.float32(f"{p:.4f}")
    return round(float(product), 4)


def judge_attributes(pictures: Sequence[Image.Image], parses: Sequence[Parse], vqa: VisualQuestionAnswerer) -> list[Finding]:
    """All questions about all pictures in one call."""
    asked = [questions(parse) for parse in parses]
    return [_finding(q, p) for q, p in zip(asked, vqa.p_yes(pictures, asked), strict=True)]


def _finding(asked: Sequence[str], probabilities: Sequence[float]) -> Finding:
    answers = [{"question": question, "p_yes": round(float(p), 4)} for question, p in zip(asked, probabilities, strict=True)]
    reason = ", ".join(f"{answer['question']} {answer['p_yes']:.2f}" for answer in answers) or "no noun chunk to ask about"
    return Finding(attribute_score(probabilities), reason, {"questions": answers})


def _clean(question: str) -> str:
    kept = re.sub(r'[.!"()*#:;~]', "", question.lower()).rstrip()
    return " ".join(kept.split(" ")[:MAX_WORDS])
