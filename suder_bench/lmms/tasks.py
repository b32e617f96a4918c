"""Which of lmms-eval's tasks want pictures, which of those want pictures changed, and what its visual chains of thought hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from suder_bench.errors import UserError

DRAWN: Mapping[str, bool] = {"WISE": False, "ueval": True}
"""Tasks of `generate_until` whose answer is a drawn picture: whether they want words beside it."""

EDITED = ("gedit_bench", "imgedit", "kris_bench", "structeditbench", "babyvision_gen")
"""Tasks whose answer is the question's own picture, changed."""

_COT = re.compile(r"\[GEN_PROMPT\](?P<drawn>.*?)\[/GEN_PROMPT\]\s*\[QUESTION\](?P<asked>.*?)\[/QUESTION\]", re.DOTALL)


def check(names: Collection[str]) -> None:
    """Raises `UserError` for tasks that need a model which changes pictures."""
    found = sorted({name for name in names if name.startswith(EDITED)})
    if found:
        raise UserError(
            f"{', '.join(found)}: what is asked for is the question's own picture, edited, and models of suder-bench draw from "
            f"words alone; leave {'it' if len(found) == 1 else 'them'} out of --tasks"
        )


def chain(task: str, context: str) -> tuple[str, str]:
    """What is to be drawn first, and the question that is put then, with the picture. Raises `UserError` where the task does not
    part the two, which are then several in turns."""
    found = _COT.search(context)
    if found is None:
        raise UserError(
            f"{task}: asks for pictures and words in turns, each an edit of the one before, and models of suder-bench draw from "
            "words alone; leave it out of --tasks"
        )
    asked = found["asked"].strip()
    return found["drawn"].strip().replace("{question}", asked), asked
