"""What a language judge is told. The benchmarks' own requests are taken from their authors' scripts when they are needed:
the scripts are read and never run, and nothing of them stands here. The words that do stand here are ours, "suder-bench"."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from suder_bench.errors import UserError

TEACHER_SCRIPT = "utils.py"
"""HallusionBench's: `evaluate_by_chatgpt` puts its request together from texts and a row's fields."""

REVIEW_SCRIPT = "eval_gpt_review_bench.py"
"""LLaVA-Bench's: it tells the judge who it is in a message of the role "system"."""

RATING_SCRIPT = "qwen_eval.py"
"""SRUM's: `question_text` is its request to the judge of T2I-CompBench's pictures, with the prompt in its place."""

SUDER_TEACHER = """You are a teacher who marks an answer to a question. Compare the answer with the reference. \
Reply with one word: "correct" if it agrees with the reference, "incorrect" if it contradicts it or misses its point, \
"unclear" if it cannot be told what the answer says or if it admits not to know.

Question: {question}
Reference: {reference}
Answer: {answer}

Your mark:"""
SUDER_SYSTEM = "You rate the answers of two assistants with care and without favour."

_FIELDS = {"question": "{question}", "gt_answer_details": "{reference}"}


def teacher(script: Path) -> str:
    """HallusionBench's request as a format of question, reference and answer. Raises `UserError` if the script holds none."""
    functions = [node for node in ast.walk(_parsed(script)) if isinstance(node, ast.FunctionDef)]
    parts = [part for node in functions if node.name == "evaluate_by_chatgpt" for part in _appended(node, "prompt")]
    request = "".join(part or "" for part in parts)
    if None in parts or any(request.count(field) != 1 for field in ("{question}", "{reference}", "{answer}")):
        raise _none(script, "no request with a question, its reference and an answer in evaluate_by_chatgpt")
    return request


def system(script: Path) -> str:
    """LLaVA-Bench's system message. Raises `UserError` if the script holds none, or several."""
    found = []
    for node in ast.walk(_parsed(script)):
        if isinstance(node, ast.Dict):
            pairs = {_constant(key): _constant(value) for key, value in zip(node.keys, node.values, strict=True)}
            if pairs.get("role") == "system" and (content := pairs.get("content")):
                found.append(content)
    if len(found) != 1:
        raise _none(script, "not one message of the role system")
    return found[0]


def rating(script: Path) -> str:
    """SRUM's request as a format of prompt. Raises `UserError` if the script holds none, or several."""
    assigned = [node for node in ast.walk(_parsed(script)) if isinstance(node, ast.Assign)]
    texts = [node.value for node in assigned if isinstance(node.targets[0], ast.Name) and node.targets[0].id == "question_text"]
    found = ["".join(map(_piece, text.values)) for text in texts if isinstance(text, ast.JoinedStr)]
    if len(found) != 1 or found[0].count("{prompt}") != 1:
        raise _none(script, "not one question_text with a prompt in it")
    return found[0]


def _piece(part: ast.expr) -> str:
    return _escaped(text) if (text := _constant(part)) is not None else "{prompt}"


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _appended(function: ast.FunctionDef, name: str) -> Iterator[str | None]:
    """What is assigned or added to a variable, in order, as a format; None for what is neither a text nor a row's field."""
    nodes = [node for node in ast.walk(function) if isinstance(node, ast.Assign | ast.AugAssign)]
    for node in sorted(nodes, key=lambda node: node.lineno):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and target.id == name:
            yield _format(node.value)


def _format(value: ast.expr) -> str | None:
    if (text := _constant(value)) is not None:
        return _escaped(text)
    if not isinstance(value, ast.Subscript):
        return None
    if isinstance(value.slice, ast.Name):  # the field of the prediction, whose name is an argument
        return "{answer}"
    return _FIELDS.get(_constant(value.slice) or "")


def _constant(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _parsed(script: Path) -> ast.Module:
    try:
        return ast.parse(script.read_bytes())
    except OSError as error:
        raise UserError(f"{script}: cannot be read ({error.strerror})") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _none(script, f"not Python: {type(error).__name__}") from None


def _none(script: Path, why: str) -> UserError:
    return UserError(f"{script} is not the authors' script ({why}); get it with suder-bench data fetch {script.parent.name}")
