"""How harnesses word a question, by benchmark: `--prompt-style`. docs/protocols.md says whose words are whose.

The line ends and blanks are the harnesses' own; a model may answer otherwise for one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from suder_bench.data.prompts import CHOICE_REQUEST, LETTERS, YES_NO_REQUEST, choice_prompt, yes_no_prompt

JANUS = "janus"
"""What SUDER's models are asked with, and so what benchmarks ask with unless told otherwise."""

TAIL = " Please answer yes or no."
"""What VLMEvalKit's table of POPE has behind each question."""

OPTIONS_FOLLOW = "There are several options:"
SELECT = "Please select the correct answer from the options above. \n"

Wording = Callable[[str, Sequence[str], str], str]
"""The question of a text, its options and a hint, of which the last two may be empty."""


def alone(question: str, options: Sequence[str] = (), hint: str = "") -> str:
    return question


def short_answer(question: str, options: Sequence[str] = (), hint: str = "") -> str:
    return f"{question.removesuffix(TAIL).strip()}\n{YES_NO_REQUEST}"


def llava_choice(question: str, options: Sequence[str], hint: str = "") -> str:
    above = f"{hint}\n" if hint else ""
    return f"{above}{question}\n{lettered(options)}{CHOICE_REQUEST}"


def vlmevalkit_choice(question: str, options: Sequence[str], hint: str = "") -> str:
    above = f"Hint: {hint}\n" if hint else ""
    return f"{above}Question: {question}\nOptions:\n{lettered(options)}{SELECT}"


def lmms_eval_mmbench(question: str, options: Sequence[str], hint: str = "") -> str:
    above = f"{hint} " if hint else ""
    return f"{above}{question} {OPTIONS_FOLLOW}\n{lettered(options)}\n{CHOICE_REQUEST}"


def lettered(options: Sequence[str]) -> str:
    """A line for each option."""
    return "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, options, strict=False))


STYLES: Mapping[str, Mapping[str, Wording]] = {
    "pope": {
        "official": lambda question, options, hint: question.removesuffix(TAIL),
        JANUS: lambda question, options, hint: yes_no_prompt(question),
        "llava": short_answer,
        "vlmevalkit": lambda question, options, hint: f"{question.removesuffix(TAIL)}{TAIL}",
        "lmms-eval": short_answer,
    },
    "hallusionbench": {
        "official": alone,
        JANUS: lambda question, options, hint: f"\n{question}\n{YES_NO_REQUEST}",
        "vlmevalkit": alone,
        "lmms-eval": alone,
    },
    "llavabench": dict.fromkeys(("official", JANUS, "llava", "vlmevalkit", "lmms-eval"), alone),
    "mmbench": {
        "official": vlmevalkit_choice,
        JANUS: choice_prompt,
        "llava": llava_choice,
        "vlmevalkit": vlmevalkit_choice,
        "lmms-eval": lmms_eval_mmbench,
    },
    "seedbench": {
        JANUS: choice_prompt,
        "llava": llava_choice,
        "vlmevalkit": vlmevalkit_choice,
        "lmms-eval": llava_choice,
    },
}
"""MMBench's authors are VLMEvalKit's. SEED-Bench's own script asks for no letter, but ranks the choices by their likelihood."""


def worded(benchmark: str, style: str, question: str, options: Sequence[str] = (), hint: str | None = None) -> str:
    """The question as the harness `style` puts it to a model. Raises `KeyError` for a style that the benchmark lacks."""
    return STYLES[benchmark][style](question, options, hint or "")
