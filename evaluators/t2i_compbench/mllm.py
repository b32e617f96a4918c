"""SRUM's way to score T2I-CompBench: a vision-language model rates each picture from 0 to 100.

Jin et al. 2025, "SRUM", its T2I-CompBench tables (Qwen2.5-VL, greedy). The bands, the scale, the JSON reply and the
arithmetic are SRUM's, and so are the words of the request, which are read from its script (`requests`); those that stand here
are ours, which known answers, the world and the protocol "suder-bench-srum" are asked in.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence

from PIL import Image

from suder_bench.evaluators.answers import thoughts
from suder_bench.evaluators.judges.protocols import PictureRater
from suder_bench.evaluators.t2i_compbench.finding import Finding

NO_SCORE = -1
"""What a reply without a score counts as. It stays in the mean, as in SRUM's script."""

REQUEST = """\
Rate how well this picture agrees with the text it was made from. Give a whole number from 0 to 100:
81-100: the picture shows everything the text says, perfectly.
61-80: it follows the text, with small differences.
41-60: important parts of the text are missing or wrong.
21-40: little of the text can be seen.
1-20: it has almost nothing to do with the text.
The text: {prompt}
Reply with JSON only, the explanation in at most 20 words: {{"score": <number>, "explanation": "<why>"}}"""


def parse_score(reply: str) -> int:
    """The score in a judge's reply: a JSON object with a whole number as its `score`, else digits after "score":, which may be
    quoted; -1 for neither, and for a number that no float holds, which takes hundreds of digits."""
    text = re.sub(r"```(?:json)?", "", reply).strip()
    for candidate in re.findall(r"\{[^{}]*\}", text, flags=re.DOTALL):
        try:
            score = json.loads(candidate).get("score")
        except (ValueError, RecursionError):
            continue
        if type(score) is int and 0 <= score <= sys.float_info.max:
            return score
    found = re.search(r'"score":\s*"?(\d+)', text)
    return int(found[1]) if found and math.isfinite(float(found[1])) else NO_SCORE


def judge_by_mllm(
    pictures: Sequence[Image.Image], prompts: Sequence[str], rater: PictureRater, request: str = REQUEST
) -> list[Finding]:
    """All pictures in one call of the judge; `request` is a format of the prompt."""
    replies = rater.rate(pictures, [request.format(prompt=prompt) for prompt in prompts])
    return [_finding(*thoughts.split(reply)) for reply in replies]


def _finding(thought: str, reply: str) -> Finding:
    score = parse_score(reply)
    reason = f"{score} of 100" if score != NO_SCORE else "no score in the judge's reply"
    return Finding(float(score), reason, {"reply": reply, **thoughts.noted(thought)})
