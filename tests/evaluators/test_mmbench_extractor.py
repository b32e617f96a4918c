"""MMBench with a language model for the answers that no rule reads."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from answering import jsonl
from judge_server import KNOWN, Answer, Asked, able, said, serving
from PIL import Image

from suder_bench.cli import main
from suder_bench.data.prompts import PASS
from suder_bench.evaluators.answers.extractor import HEAD, TRIES, Extractor, Unread
from suder_bench.evaluators.judges.world import WorldLlm
from suder_bench.evaluators.mmbench import JUDGED, TABLES, MMBench

OPTIONS = {"A": "a cat", "B": "a dog", "C": "a cow"}
COLUMNS = ("index", "question", "hint", "A", "B", "C", "D", "answer", "category", "l2-category", "image")


def write(folder: Path, name: str = "mmbench_dev.tsv") -> Path:
    """Four questions, the last of them in two passes; each asks for the dog."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    picture = base64.b64encode(stream.getvalue()).decode()
    rows = [(i, f"What is it, {i}?", "", *OPTIONS.values(), "", "B", "", "logic_reasoning", picture) for i in (1, 2, 3, 4)]
    rows.append((4 + PASS, "What is it, 4?", "", "a cow", "a cat", "a dog", "", "C", "", "logic_reasoning", "4"))
    (folder / "mmbench").mkdir()
    lines = ["\t".join(map(str, row)) for row in (COLUMNS, *rows)]
    (folder / "mmbench" / name).write_text("\n".join(lines) + "\n")
    return folder


ANSWERS = {1: "B", 2: "the barking one", 3: "who knows", 4: "it barks", 4 + PASS: "it moos"}
"""A rule reads the first alone."""

REPLIES = {"the barking one": "<think>Is it A? No.</think>B", "who knows": "either A or B", "it barks": "B.", "it moos": "a cow"}


def picks(asked: Asked, before: int) -> Answer:
    if not asked.prompt.startswith(HEAD):
        return able(asked, before)
    return said(REPLIES[asked.prompt.rpartition("\nAnswer: ")[2].removesuffix("\nLetter:")])


EXPECTED = {"vanilla/overall": 0.75, "circular/overall": 0.5, "vanilla/LR": 0.75, "judged": 4.0, "unextracted": 1.0}


def test_the_judge_reads_what_the_rules_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    answers = jsonl(tmp_path / "a.jsonl", [{"question_id": index, "text": text} for index, text in ANSWERS.items()])
    command = ["score", "--benchmark", "mmbench", "--data", str(tmp_path), "--answers", str(answers)]
    with serving(picks) as server:
        judged = [*command, "--protocol", "suder-bench-llm", "--judge", f"llm=official:{server.url}#m"]
        assert main([*judged, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["benchmarks"]["mmbench"]
        prompts = [one.prompt for one in server.asked if one.prompt.startswith(HEAD)]
        assert len(server.asked) == KNOWN + len(prompts)
        assert main(judged) == 0
        table = capsys.readouterr().out
    assert {name: found["metrics"][f"suder-bench-llm/{name}"]["value"] for name in EXPECTED} == EXPECTED
    assert found["headline"] == "suder-bench-llm/vanilla/overall"
    assert len(prompts) == 3 + TRIES  # "who knows" to the end
    assert max(map(prompts.count, prompts)) == TRIES
    assert "1 suder-bench-llm/unextracted" in table
    assert main([*command, "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)["benchmarks"]["mmbench"]
    assert {name: alone["metrics"][name]["value"] for name in ("vanilla/overall", "unextracted")} == {
        "vanilla/overall": 0.25,
        "unextracted": 4.0,
    }
    assert not alone["judges"]


class Scripted:
    """Replies with what is left of its script, and remembers how many were asked."""

    def __init__(self, *replies: str) -> None:
        self.replies, self.asked = list(replies), list[int]()

    def mark(self, prompts: Sequence[str]) -> list[str]:
        self.asked.append(len(prompts))
        return [self.replies.pop(0) for _ in prompts]


@pytest.mark.parametrize(
    ("replies", "letter", "used"),
    [
        (["B"], "B", 1),
        (["Letter: C."], "C", 1),
        (["that is a dog"], "B", 1),
        (["Z"], "Z", 1),
        (["D"], None, 3),  # no option of this question
        (["hm", "A or B", "B"], "B", 3),
        (["hm", "A or B", ""], None, 3),
    ],
)
def test_three_tries(replies: list[str], letter: str | None, used: int) -> None:
    judge = Scripted(*(replies * TRIES if len(replies) == 1 else replies))
    assert Extractor({}).ask(judge, [Unread("What?", OPTIONS, "woof")])[0][0] == letter
    assert judge.asked == [1] * used


def test_equal_requests_are_made_once_and_their_replies_are_kept() -> None:
    judge, extractor = Scripted("A", "B"), Extractor({})
    asked = [Unread("What?", OPTIONS, text) for text in ("woof", "woof", "miaow")]
    assert [letter for letter, _ in extractor.ask(judge, asked)] == ["A", "A", "B"]
    assert [letter for letter, _ in extractor.ask(judge, asked)] == ["A", "A", "B"]
    assert judge.asked == [2]


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("c", "C"),
        ("There is a blue ball, as I see it.", "B"),
        ("Nothing of the kind.", "Z"),
        ("\nLetter: A\n\nQuestion: x\nOptions:\nA. y\nAnswer: z", "Z"),
    ],
)
def test_the_world_s_judge_extracts_too(answer: str, letter: str) -> None:
    options = {"A": "a red ball", "B": "a blue ball", "C": "a red box"}
    assert WorldLlm().mark([Unread("What is there?", options, answer).request]) == [letter]


def test_every_table_can_be_judged(tmp_path: Path) -> None:
    assert sorted(JUDGED.values()) == sorted(TABLES)
    benchmark = MMBench(write(tmp_path, "MMBench_DEV_EN_V11.tsv"), "dev-en-v11-llm")
    assert [sample.truth["asked"] for sample in benchmark.samples()][:2] == ["What is it, 1?", "What is it, 2?"]
    assert (benchmark.judge_roles, benchmark.headline) == (("llm",), "dev-en-v11-llm/vanilla/overall")


@pytest.mark.slow
def test_a_run_on_the_world_is_judged_and_not_judged_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "--model", "tiny-janus", "--benchmark", "mmbench", "--protocol", "suder-bench-llm", "--data", "world"]
    command += ["--limit", "12", "--out", str(tmp_path / "run"), "--json"]
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)["benchmarks"]
    files = sorted((tmp_path / "run/verdicts/mmbench").iterdir())
    before = [file.read_bytes() for file in files]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"] == first
    assert [file.read_bytes() for file in files] == before
