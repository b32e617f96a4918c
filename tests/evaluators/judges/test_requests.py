"""Requests to a language judge, read from scripts that are never run."""

from __future__ import annotations

from pathlib import Path

import pytest
from answering import official

from suder_bench.errors import UserError
from suder_bench.evaluators.judges import requests

FIELDS = ("prompt += sample['question']", "prompt += sample['gt_answer_details']", "prompt += sample[entry]")


def script(folder: Path, *lines: str) -> Path:
    body = "\n".join(f"        {line}" for line in lines)
    file = folder / "utils.py"
    file.write_text(f"def evaluate_by_chatgpt(data, entry):\n    for sample in data:\n{body}\n")
    return file


def test_a_request_is_a_format_of_question_reference_and_answer(tmp_path: Path) -> None:
    made = requests.teacher(
        script(tmp_path, "prompt = 'Q{1}: '", FIELDS[0], "prompt += ' R: ' 'so: '", *FIELDS[1:], "prompt += '.'")
    )
    assert made.format(question="{q}", reference="r", answer="{a}") == "Q{1}: {q} R: so: r{a}."


@pytest.mark.parametrize(
    "lines",
    [
        ("prompt = 'Say correct.'",),
        (f"prompt = '' ; {FIELDS[0]}", FIELDS[1]),
        ("prompt = ''", *FIELDS, FIELDS[0]),
        ("prompt = str(data)", *FIELDS),
        ("prompt = ''", *FIELDS, "prompt += sample['gt_answer']"),
        ("text = ''",),
    ],
)
def test_a_script_without_such_a_request_is_refused(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"utils\.py is not the authors' script \(no request"):
        requests.teacher(script(tmp_path, *lines))


@pytest.mark.parametrize("content", [b"def (", b"\x00", b"\xff\xfe", b"(" * 5000, b"-" * 100_000 + b"1"])
def test_what_is_no_script_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "utils.py").write_bytes(content)
    for read in (requests.teacher, requests.system, requests.audit, requests.examination):
        with pytest.raises(UserError, match=r"not Python|no request|not one|no message"):
            read(tmp_path / "utils.py")


def test_a_script_is_read_and_never_run(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text(
        f"open({str(tmp_path / 'run')!r}, 'w')\nsaid = {{'role': 'system', 'content': 'Be fair.'}}\n"
    )
    assert requests.system(tmp_path / "utils.py") == "Be fair."
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[{'role': 'system', 'content': who}]",
        "[{'role': 'system', 'content': 'a'}] * 2 + [{'role': 'system', 'content': 'b'}]",
    ],
)
def test_one_system_message_is_needed(tmp_path: Path, text: str) -> None:
    (tmp_path / "bench.py").write_text(text)
    with pytest.raises(UserError, match="not one message of the role system"):
        requests.system(tmp_path / "bench.py")


@pytest.mark.parametrize(
    "text",
    [
        "question_text = 'Rate it.'",
        "question_text = f'{p}{p}'",
        "question_text = f'{p}'\nquestion_text = f'{p}'",
        "text = f'{p}'",
    ],
)
def test_one_request_with_a_prompt_is_needed(tmp_path: Path, text: str) -> None:
    (tmp_path / "qwen_eval.py").write_text(text)
    with pytest.raises(UserError, match="not one question_text with a prompt in it"):
        requests.rating(tmp_path / "qwen_eval.py")


AUDIT = """
def build_evaluation_messages(row, picture):
    return [
        {"role": "system", "content": [{"type": "text", "text": "Be strict {{really}}."}]},
        {"role": "user", "content": [{"type": "text", "text": REQUEST}, {"image_url": {"url": f"data:{picture}"}}]},
    ]
"""
HINT, MEANT = "{row['Prompt']}", "{row['Explanation']}"


def test_an_audit_is_a_system_message_and_a_format_of_prompt_and_explanation(tmp_path: Path) -> None:
    (tmp_path / "vllm_eval.py").write_text(AUDIT.replace("REQUEST", f"'Judge ' f\"{{{{it}}}}: {HINT} is {MEANT}\""))
    found = requests.audit(tmp_path / "vllm_eval.py")
    assert found.system == "Be strict {{really}}."
    assert found.request.format(prompt="{p}", explanation="e") == "Judge {it}: {p} is e"


@pytest.mark.parametrize("asked", ["'Judge it.'", f'f"{HINT}"', f'f"{HINT}{HINT}{MEANT}"', "text", "f'{text}'"])
def test_an_audit_without_both_is_refused(tmp_path: Path, asked: str) -> None:
    (tmp_path / "vllm_eval.py").write_text(AUDIT.replace("REQUEST", asked))
    with pytest.raises(UserError, match=r"no message to the system, and one of the user.*data fetch wise-verified"):
        requests.audit(tmp_path / "vllm_eval.py")


def test_an_examination_has_a_request_for_each_group_of_questions(tmp_path: Path) -> None:
    lines = ["q1 = 'What is it?'", "own = rows[n]['reason_evaluation']", "other = rows[n]['quality_evaluation']"]
    lines += ["q2 = f'Of {own}: {{}}'", "q3 = f'''And of {other}'''", "q4 = f'{own} and {other}'", "q5 = f'{text}'"]
    (tmp_path / "eval_idiom.py").write_text("\n".join(lines))
    found = requests.examination(tmp_path / "eval_idiom.py")
    assert found.describe == "What is it?"
    assert {group: text.format(questions="{q}") for group, text in found.groups.items()} == {
        "reason_evaluation": "Of {q}: {}",
        "quality_evaluation": "And of {q}",
    }
    for cut in (lines[1:], lines[:1], ["q1 = 'a'", *lines]):
        (tmp_path / "eval_idiom.py").write_text("\n".join(cut))
        with pytest.raises(UserError, match=r"not one request for a description.*data fetch t2i-reasonbench"):
            requests.examination(tmp_path / "eval_idiom.py")


def test_the_authors_scripts() -> None:
    teacher = requests.teacher(official("hallusionbench/utils.py"))
    assert teacher.index("{question}") < teacher.index("{reference}") < teacher.index("{answer}")
    assert all(word in teacher for word in ("correct", "incorrect", "unclear"))
    assert requests.system(official("llavabench/eval_gpt_review_bench.py")).startswith("You are a helpful")
    assert requests.rating(official("t2i_compbench/qwen_eval.py")).count("{prompt}") == 1
