"""What a language judge is told. The benchmarks' own requests are taken from their authors' scripts when they are needed:
the scripts are read and never run, and nothing of them stands here. The words that do stand here are ours, "suder-bench"."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from suder_bench.errors import UserError

TEACHER_SCRIPT = "utils.py"
"""HallusionBench's: `evaluate_by_chatgpt` puts its request together from texts and a row's fields."""

REVIEW_SCRIPT = "eval_gpt_review_bench.py"
"""LLaVA-Bench's: it tells the judge who it is in a message of the role "system"."""

RATING_SCRIPT = "qwen_eval.py"
"""SRUM's: `question_text` is its request to the judge of T2I-CompBench's pictures, with the prompt in its place."""

AUDIT_SCRIPT = "vllm_eval.py"
"""WISE_Verified's: `build_evaluation_messages` tells the judge who it is, and its request has the fields of a prompt in it."""

LEGACY_AUDIT_SCRIPT = "WISE_legacy/gpt_eval.py"
"""The first WISE's, of the same form."""

EXAMINING_SCRIPTS: Mapping[str, str] = {
    "idiom_interpretation": "evaluation/Qwen2.5-VL/eval_idiom.py",
    "textual_image_design": "evaluation/Qwen2.5-VL/eval_textual_image.py",
    "entity_reasoning": "evaluation/Qwen2.5-VL/eval_entity.py",
    "scientific_reasoning": "evaluation/Qwen2.5-VL/eval_scientific.py",
}
"""T2I-ReasonBench's by dimension: each asks for a description, and then about its groups of questions."""

_OWNERS = {
    TEACHER_SCRIPT: "hallusionbench",
    REVIEW_SCRIPT: "llavabench",
    RATING_SCRIPT: "t2i-compbench",
    AUDIT_SCRIPT: "wise-verified",
    LEGACY_AUDIT_SCRIPT.rpartition("/")[2]: "wise-legacy",
    **{script.rpartition("/")[2]: "t2i-reasonbench" for script in EXAMINING_SCRIPTS.values()},
}
"""The benchmark that a script comes with, by its name."""

SUDER_TEACHER = """You are a teacher who marks an answer to a question. Compare the answer with the reference. \
Reply with one word: "correct" if it agrees with the reference, "incorrect" if it contradicts it or misses its point, \
"unclear" if it cannot be told what the answer says or if it admits not to know.

Question: {question}
Reference: {reference}
Answer: {answer}

Your mark:"""
SUDER_SYSTEM = "You rate the answers of two assistants with care and without favour."

_FIELDS = {"question": "{question}", "gt_answer_details": "{reference}"}
_AUDITED = {"Prompt": "{prompt}", "Explanation": "{explanation}"}


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


@dataclass(frozen=True)
class Audit:
    """Who WISE tells its judge to be, and its request as a format of prompt and explanation."""

    system: str
    request: str


def audit(script: Path) -> Audit:
    """WISE's messages to its judge. Raises `UserError` if the script does not hold both."""
    functions = [node for node in ast.walk(_parsed(script)) if isinstance(node, ast.FunctionDef)]
    found: dict[str, list[str]] = {}
    for function in (node for node in functions if node.name == "build_evaluation_messages"):
        for message in (node for node in ast.walk(function) if isinstance(node, ast.Dict)):
            said = _items(message)
            if (role := _constant(said.get("role"))) and (content := said.get("content")) is not None:
                parts = [_items(node) for node in ast.walk(content) if isinstance(node, ast.Dict)]
                found[role] = [text for part in parts if (text := _audited(part.get("text"))) is not None]
    texts = [text for role in ("system", "user") for text in found.get(role, [])]
    if len(texts) != 2 or any(texts[1].count(field) != 1 for field in _AUDITED.values()):
        raise _none(script, "no message to the system, and one of the user with a Prompt and its Explanation")
    return Audit(texts[0].format(), texts[1])


@dataclass(frozen=True)
class Examination:
    """What T2I-ReasonBench asks its judge: for a description, then about a group of questions, by the group's key; these are
    formats of `questions`."""

    describe: str
    groups: Mapping[str, str]


def examination(script: Path) -> Examination:
    """T2I-ReasonBench's requests, in its order. Raises `UserError` if the script holds none."""
    texts: list[str] = []
    keys: dict[str, str] = {}  # of a group, by the variable that holds its questions
    groups: dict[str, str] = {}
    assigned = [node for node in ast.walk(_parsed(script)) if isinstance(node, ast.Assign)]
    for node in sorted(assigned, key=lambda node: node.lineno):
        target = node.targets[0]
        if not isinstance(target, ast.Name):
            continue
        if isinstance(node.value, ast.Subscript) and (key := _constant(node.value.slice)):
            keys[target.id] = key
        elif isinstance(node.value, ast.JoinedStr) and (group := _grouped(node.value, keys)) is not None:
            groups[group[0]] = group[1]
        elif target.id == "q1" and (text := _constant(node.value)):
            texts.append(text)
    if len(texts) != 1 or not groups:
        raise _none(script, "not one request for a description, and one with each group of questions")
    return Examination(texts[0], groups)


def _grouped(text: ast.JoinedStr, keys: Mapping[str, str]) -> tuple[str, str] | None:
    """(key of the group, format of its questions) of a request that has one group's questions in it."""
    fields = [part.value for part in text.values if isinstance(part, ast.FormattedValue)]
    if len(fields) != 1 or not isinstance(fields[0], ast.Name) or fields[0].id not in keys:
        return None
    pieces = (_escaped(told) if (told := _constant(part)) is not None else "{questions}" for part in text.values)
    return keys[fields[0].id], "".join(pieces)


def _audited(text: ast.expr | None) -> str | None:
    """A message's text as a format; None for what is neither a text nor one with a prompt's fields in it."""
    if (told := _constant(text)) is not None:
        return _escaped(told)
    if not isinstance(text, ast.JoinedStr):
        return None
    pieces = []
    for part in text.values:
        inner = part.value if isinstance(part, ast.FormattedValue) else part
        key = _constant(inner.slice) if isinstance(inner, ast.Subscript) else None
        told = _constant(inner)
        pieces.append(_AUDITED.get(key or "", "") if told is None else _escaped(told))
    return "".join(pieces)


def _items(node: ast.Dict) -> dict[str, ast.expr]:
    """The values of an object by those keys that are texts."""
    pairs = zip(node.keys, node.values, strict=True)
    return {name: value for key, value in pairs if (name := _constant(key)) is not None}


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


def there(script: Path, instead: str) -> Path:
    """The script, if it is there. Raises `UserError` with the command that brings it, and the protocol to use `instead`."""
    if script.is_file():
        return script
    raise UserError(
        f"{script} is missing, which holds the authors' request to the judge; get it with suder-bench data fetch"
        f" {_OWNERS[script.name]}, or ask in our words: --protocol {instead}"
    )


def _none(script: Path, why: str) -> UserError:
    benchmark = _OWNERS.get(script.name, script.parent.name)
    return UserError(f"{script} is not the authors' script ({why}); get it with suder-bench data fetch {benchmark}")
