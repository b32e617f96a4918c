"""WISE, verified and first: ids and shares, replies, what is in no mean, and words that are the authors' or ours."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import official, picture, values
from hypothesis import given
from hypothesis import strategies as st
from talking import Talker, judged

from suder_bench import registry, suites
from suder_bench.errors import UserError
from suder_bench.evaluators.wise import CATEGORIES, WiseLegacy, WiseVerified
from suder_bench.evaluators.wise.replies import SUDER_VERIFIED, binary, three_marks, wiscore

SCRIPT = '''
def build_evaluation_messages(prompt_data, picture):
    return [
        {"role": "system", "content": [{"type": "text", "text": "Be strict {really}."}]},
        {"role": "user", "content": [
            {"type": "text", "text": f"""Judge {{it}}: "{prompt_data['Prompt']}" is "{prompt_data['Explanation']}"."""},
            {"type": "image_url", "image_url": {"url": f"data:{picture}"}},
        ]},
    ]
'''
FILES = ("cultural_common_sense", "spatio-temporal_reasoning", "natural_science")
BORDERS = {
    "wise-verified": (1, 400, 401, 520, 521, 640, 641, 760, 761, 880, 881, 1000),
    "wise-legacy": (1, 400, 401, 567, 568, 700, 701, 800, 801, 900, 901, 1000),
}
"""The first and last id of each category."""


def row(number: int, **others: Any) -> dict[str, Any]:
    return {"prompt_id": number, "Prompt": f"hint {number}", "Explanation": f"thing {number}", **others}


def write_data(folder: Path, name: str, numbers: tuple[int, ...] = (), *, script: str = SCRIPT) -> Path:
    """A file for each official one; the ids of a file are those of its categories."""
    numbers = numbers or BORDERS[name]
    start, end = ("data_verified/", "_verified") if name == "wise-verified" else ("WISE_legacy/data/", "")
    parts = (range(1, 401), range(401, 641 if end else 701), range(641 if end else 701, 9999))
    for file, part in zip(FILES, parts, strict=True):
        rows = [row(number) for number in numbers if number in part] or [row(part[0])]
        for suffix in ("", "_rewrite") if not end else ("",):
            place = folder / f"{start}{file}{end}{suffix}.json"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps([one | ({"Prompt": "plain"} if suffix else {}) for one in rows]))
    place = folder / ("vllm_eval.py" if end else "WISE_legacy/gpt_eval.py")
    place.write_text(script)
    return folder


BENCHES: dict[str, Any] = {"wise-verified": WiseVerified, "wise-legacy": WiseLegacy}


@pytest.mark.parametrize("name", BENCHES)
def test_categories_end_at_their_ids(tmp_path: Path, name: str) -> None:
    samples = BENCHES[name](write_data(tmp_path, name)).samples()
    assert [int(sample.id) for sample in samples] == list(BORDERS[name])
    assert [sample.truth["category"] for sample in samples] == [name for name in CATEGORIES for _ in range(2)]
    assert (samples[0].prompt, samples[0].truth["explanation"]) == ("hint 1", "thing 1")


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Score: 1", 1),
        ("Score: 0", 0),
        ("score 1", 1),
        ("**Score**: 1", 1),
        ("**Score: 1**", 1),
        ("I think it is right.\nScore: 1\nScore: 0", 1),  # the first counts
        ("1", 1),
        ("All is there.\n 0 \n", 0),
        ("0\n1", None),  # two bare lines say nothing
        ("Score: 0.5", 0),  # a full stop ends the number
        ("Score: 10", None),
        ("Score: 2", None),
        ("Score: **1**", None),
        ("yes", None),
        ("", None),
    ],
)
def test_verified_replies(reply: str, score: float | None) -> None:
    assert binary(reply) == (None if score is None else {"score": score})


@pytest.mark.parametrize(
    ("reply", "marks"),
    [
        ("Consistency: 2\nRealism: 1\nAesthetic Quality: 0", (2, 1, 0)),
        ("**Consistency**: 2\n**realism** 1\n*aesthetic quality: 0", (2, 1, 0)),
        ("Consistency: 2\nRealism: 1", None),
        ("Consistency: 2\nRealism: 1\nAesthetic Quality: 0\nConsistency: 1", (1, 1, 0)),  # the last of a name
        ("Consistency: 9\nRealism: 1\nAesthetic Quality: 0", (9, 1, 0)),  # as officially
        ("2\n1\n0", (2, 1, 0)),
        ("2\n1\n0\n2", (2, 1, 0)),
        ("2\n1", None),
        ("Consistency: 2\n1\n0", None),  # where a mark is named, bare ones do not count
        ("", None),
    ],
)
def test_legacy_replies(reply: str, marks: tuple[int, ...] | None) -> None:
    found = three_marks(reply)
    assert (None if found is None else tuple(found.values())) == marks


@given(st.text())
def test_any_reply_can_be_read(reply: str) -> None:
    assert binary(reply) in (None, {"score": 0.0}, {"score": 1.0})
    three_marks(reply)


@pytest.mark.parametrize(("marks", "score"), [((2, 1, 0), 0.8), ((2, 2, 2), 1.0), ((0, 0, 0), 0.0), ((1, 0, 2), 0.45)])
def test_wiscore(marks: tuple[int, ...], score: float) -> None:
    assert wiscore(dict(zip(("consistency", "realism", "aesthetic_quality"), marks, strict=True))) == pytest.approx(score)


def test_verified_overall_of_a_hand_computed_case(tmp_path: Path) -> None:
    """Culture 1/2, time 1/2, space 2/2, biology 0/2, physics 1/1 (one reply unread), chemistry 0/2."""
    right = {"hint 1", "hint 401", "hint 521", "hint 640", "hint 761"}
    unread = "hint 880"

    def say(request: str) -> str:
        prompt = request.split('"')[1]
        return "I cannot tell." if prompt == unread else f"Score: {int(prompt in right)}"

    bench = WiseVerified(write_data(tmp_path, "wise-verified"))
    judge = Talker(say)
    rows = judged(bench, bench.samples(), mllm=judge)
    found = values(bench.statistics(rows), 12)
    assert found == pytest.approx(
        {
            "culture": 0.5,
            "time": 0.5,
            "space": 1.0,
            "biology": 0.0,
            "physics": 1.0,
            "chemistry": 0.0,
            "overall": 0.4 * 0.5 + 0.12 * (0.5 + 1 + 0 + 1 + 0),
            "strict": 0.4 * 0.5 + 0.12 * (0.5 + 1 + 0 + 0.5 + 0),
            "unparsed": 1.0,
        }
    )
    assert bench.statistics(rows)["physics"].n == 1
    assert len(judge.heard) == 12 + 2  # the unread one is asked for three times in all
    assert judge.allowed == {500}
    by_id = {sample.id: verdict for sample, verdict in rows}
    assert (by_id["1"].correct, by_id["400"].correct, by_id["880"].correct) == (True, False, None)
    assert by_id["880"].reason == "no score in the judge's reply 'I cannot tell.'"


def test_legacy_overall_of_a_hand_computed_case(tmp_path: Path) -> None:
    """Every picture of a category has the same marks: WiScores 0.8, 1, 0, 0.5, 0.35, 0.15."""
    marks = dict(zip(CATEGORIES, ((2, 1, 0), (2, 2, 2), (0, 0, 0), (1, 1, 1), (1, 0, 0), (0, 1, 1)), strict=True))
    bench = WiseLegacy(write_data(tmp_path, "wise-legacy"))
    by_prompt = {sample.prompt: marks[sample.truth["category"]] for sample in bench.samples()}
    judge = Talker(
        lambda request: "Consistency: {}\nRealism: {}\nAesthetic Quality: {}".format(*by_prompt[request.split('"')[1]])
    )
    found = values(bench.statistics(judged(bench, bench.samples(), mllm=judge)), 12)
    scores = (0.8, 1.0, 0.0, 0.5, 0.35, 0.15)
    assert [found[name] for name in CATEGORIES] == pytest.approx(scores)
    assert found["overall"] == pytest.approx(0.4 * 0.8 + 0.167 * 1 + 0.1 * (0.5 + 0.35 + 0.15))
    assert judge.allowed == {2000}


def test_an_overall_without_all_categories_is_one_of_those_there(tmp_path: Path) -> None:
    bench = WiseVerified(write_data(tmp_path, "wise-verified"))
    samples = [sample for sample in bench.samples() if sample.id in ("1", "401")]
    rows = judged(bench, samples, mllm=Talker(lambda request: f"Score: {int('hint 1' in request)}"))
    found = values(bench.statistics(rows), 2)
    assert found["overall"] == pytest.approx(0.4 / 0.52)
    assert set(found) == {"culture", "time", "overall", "strict", "unparsed"}
    nothing = judged(bench, samples, mllm=Talker(lambda request: "?"))
    assert np.isnan(values(bench.statistics(nothing), 2)["overall"])
    assert values(bench.statistics(nothing), 2)["strict"] == 0


def test_the_judge_is_asked_in_the_authors_words_or_in_ours(tmp_path: Path) -> None:
    data = write_data(tmp_path, "wise-verified")
    heard = {}
    for protocol in ("official", "suder-bench"):
        bench, judge = WiseVerified(data, protocol), Talker(lambda request: "Score: 1")
        rows = judged(bench, bench.samples()[:1], mllm=judge)
        (heard[protocol],) = judge.heard
        prefix = "" if protocol == "official" else "suder-bench/"
        assert set(bench.statistics(rows)) == {f"{prefix}{name}" for name in ("culture", "overall", "strict", "unparsed")}
    assert heard["official"].turns == ('Judge {it}: "hint 1" is "thing 1".',)
    assert (heard["official"].system, heard["official"].picture_last) == ("Be strict {really}.", True)
    assert heard["suder-bench"].turns == (SUDER_VERIFIED.request.format(prompt="hint 1", explanation="thing 1"),)
    (data / "vllm_eval.py").unlink()
    with pytest.raises(UserError, match=r"vllm_eval\.py is missing.*data fetch wise-verified.*--protocol suder-bench"):
        WiseVerified(data).samples()


def test_a_thought_is_not_judged_and_kept(tmp_path: Path) -> None:
    bench = WiseVerified(write_data(tmp_path, "wise-verified"))
    judge = Talker(lambda request: "<think>Score: 0?</think>Score: 1")
    ((_, verdict),) = judged(bench, bench.samples()[:1], mllm=judge)
    assert (verdict.correct, verdict.details["reply"], verdict.details["thinking"]) == (True, "Score: 1", "Score: 0?")


def test_rewritten_prompts_are_a_track_of_their_own(tmp_path: Path) -> None:
    bench = WiseLegacy(write_data(tmp_path, "wise-legacy"), "rewrite")
    assert {sample.prompt for sample in bench.samples()} == {"plain"}
    assert bench.headline == "rewrite/overall"


def test_pictures_are_called_by_their_id(tmp_path: Path) -> None:
    bench, made = WiseVerified(write_data(tmp_path, "wise-verified")), tmp_path / "made"
    for name in ("1.png", "401.png", "0001.png", "2.png", "400.jpg"):
        picture(made / name)
    assert [file.name for _, _, file in bench.find_images(made)] == ["1.png", "401.png"]
    assert {one.file.name: one.why for one in bench.strangers(made)} == {
        "0001.png": "its name is not <prompt_id>.png",
        "2.png": "there is no prompt 2",
        "400.jpg": "its name is not <prompt_id>.png",
    }
    with pytest.raises(UserError, match="no pictures in"):
        bench.find_images(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("numbers", "told"),
    [((1, 1), "row 2: prompt_id 1 stands there twice"), ((1, 1001), "prompt_id 1001 is in no category; they end at 1000")],
)
def test_other_ids_are_refused(tmp_path: Path, numbers: tuple[int, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        WiseVerified(write_data(tmp_path, "wise-verified", numbers)).samples()


def test_the_two_are_in_no_suite_together() -> None:
    assert not any({"wise-verified", "wise-legacy"} <= set(names) for names in suites.SUITES.values())
    for name, factory in BENCHES.items():
        assert registry.load("benchmarks", name) is factory


def test_official_facts() -> None:
    """Counted from the files of commit eb51174."""
    samples = WiseVerified(official("wise_verified/vllm_eval.py").parent).samples()
    assert Counter(sample.truth["category"] for sample in samples) == dict(
        zip(CATEGORIES, (400, 120, 120, 120, 120, 120), strict=True)
    )
    folder = official("wise_legacy/WISE_legacy/gpt_eval.py").parents[1]
    first = [WiseLegacy(folder, protocol) for protocol in ("official", "rewrite")]
    counts = dict(zip(CATEGORIES, (400, 167, 133, 100, 100, 100), strict=True))
    for legacy in first:
        assert Counter(sample.truth["category"] for sample in legacy.samples()) == counts
    bench = WiseVerified(official("wise_verified/vllm_eval.py").parent)
    assert bench.audit.system.startswith("You are a professional")
    assert bench.audit.request.format(prompt="<p>", explanation="<e>").count('"<p>"') == 1
