"""POPE's verdicts and aggregates, and LLaVA-1.5-13B's published scores from its stored answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from answering import duplicating, jsonl, judge, official, picture, score
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.evaluators.answers.files import json_rows
from suder_bench.evaluators.pope import TRACKS, Pope, noun, thing
from suder_bench.records import Sample
from suder_bench.runs.plan import build

FRUIT = {"random": "apple", "popular": "pear", "adversarial": "lemon"}


def write(folder: Path, images: int = 2, name: str = "coco_pope_{}.json", listed: bool = False) -> Path:
    """Per track and picture: a dog (yes) and an absent fruit (no); JSON lines, or `listed` as one JSON list."""
    for track in TRACKS:
        rows = []
        for image in range(images):
            picture(folder / "pope" / "images" / f"{image}.png")
            for words, label in (("a dog", "yes"), (f"an {FRUIT[track]}", "no")):
                text = f"Is there {words} in the image?"
                rows.append({"question_id": len(rows) + 1, "image": f"{image}.png", "text": text, "label": label})
        file = jsonl(folder / "pope" / name.format(track), rows)
        if listed:
            file.write_text(json.dumps(rows, indent=4))
    return folder


def own_format(pope: Pope, *tracks: str) -> list[dict[str, str]]:
    """POPE's own answer lines to whole tracks, one after another; every answer is the track's name."""
    return [
        {"question": sample.prompt.strip().split("\n")[0], "answer": track}
        for track in tracks
        for sample in pope.questions
        if sample.truth["track"] == track
    ]


def ask(label: str, track: str = "random", image: str = "0.png") -> Sample:
    return Sample(f"{track}/{label}", image, "", truth={"track": track, "label": label, "object": "a dog"})


def test_samples(tmp_path: Path) -> None:
    samples = Pope(write(tmp_path)).samples()
    assert len(samples) == 12
    assert samples[0].id == "random/1"
    assert samples[0].prompt == "\nIs there a dog in the image?\nAnswer the question using a single word or phrase."
    assert samples[0].truth == {"track": "random", "label": "yes", "object": "a dog"}
    assert samples[0].cluster == "0.png" == samples[4].cluster
    assert len({sample.id for sample in samples}) == 12
    assert Pope(tmp_path / "pope").samples()[0].id == "random/1"


def test_pictures_may_lie_in_a_coco_folder(tmp_path: Path) -> None:
    (write(tmp_path) / "coco").mkdir()
    (tmp_path / "pope" / "images").rename(tmp_path / "coco" / "val2014")
    assert Pope(tmp_path).samples()[0].images == (tmp_path / "coco" / "val2014" / "0.png",)


def test_mistakes_in_the_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"coco_pope_random\.json"):
        Pope(tmp_path).samples()
    (write(tmp_path) / "pope" / "images" / "1.png").unlink()
    with pytest.raises(UserError, match=r"1\.png is missing \(1 of 2 pictures\)"):
        Pope(tmp_path).samples()
    (tmp_path / "pope" / "coco_pope_popular.json").write_text('{"question_id": 1}\n')
    with pytest.raises(UserError, match=r"popular\.json:1: no 'image'"):
        Pope(tmp_path).samples()


def test_an_unknown_protocol_is_refused_where_benchmarks_are_built(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown pope protocol 'offical'; did you mean 'official'"):
        build("pope", tmp_path, "offical")


@pytest.mark.parametrize(
    ("label", "text", "correct", "reason"),
    [
        ("yes", "No", False, "answered 'No' (no), the picture has a dog: yes expected"),
        ("no", "No.", True, "answered 'No.' (no), the picture does not have a dog: no expected"),
        ("no", "", False, "answered '' (yes), the picture does not have a dog: no expected"),
    ],
)
def test_verdict(tmp_path: Path, label: str, text: str, correct: bool, reason: str) -> None:
    [(_, verdict)] = judge(Pope(tmp_path), [(ask(label), text)])
    assert (verdict.correct, verdict.scores["correct"], verdict.reason) == (correct, float(correct), reason)


def test_a_capital_label_is_yes(tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / "pope" / "coco_pope_random.json"
    file.write_text(file.read_text().replace('"yes"', '"Yes"'))
    assert Pope(tmp_path).samples()[0].truth["label"] == "yes"


def test_nothing_predicted_scores_zero(tmp_path: Path) -> None:
    found = score(Pope(tmp_path), [(ask("yes"), "no"), (ask("no"), "no")])
    assert (found["precision_random"], found["recall_random"], found["f1_random"], found["yes_random"]) == (0, 0, 0, 0)
    assert found["acc_random"] == 0.5
    assert np.isnan(found["f1_popular"])
    assert np.isnan(found["mean_f1"])


def test_harnesses_disagree(tmp_path: Path) -> None:
    found = score(Pope(tmp_path), [(ask("yes"), "Yes."), (ask("yes"), "yes"), (ask("yes"), "**Yes**"), (ask("no"), "No")])
    assert found["acc_random"] == 1
    assert (found["vlmevalkit/acc"], found["vlmevalkit/recall"], found["vlmevalkit/unextracted"]) == (
        0.75,
        pytest.approx(2 / 3),
        1,
    )
    assert (found["lmms-eval/acc"], found["lmms-eval/recall"], found["lmms-eval/unextracted"]) == (0.5, 1, 2)
    assert found["lmms-eval/yes"] == 0.75
    assert found["vlmevalkit/f1_random"] == pytest.approx(0.8)


def test_answers_in_popes_own_format(tmp_path: Path) -> None:
    pope = Pope(write(tmp_path))
    samples = [sample for sample in pope.samples() if sample.truth["track"] == "popular"]
    rows = [{"question": sample.prompt.strip().split("\n")[0], "answer": "yes"} for sample in samples]
    pairs = pope.read_answers(jsonl(tmp_path / "answers.json", rows))
    assert [sample for sample, _ in pairs] == samples
    with pytest.raises(UserError, match="3 answers do not match the questions of any track"):
        pope.read_answers(jsonl(tmp_path / "answers.json", rows[:-1]))


@pytest.mark.parametrize("order", [TRACKS, TRACKS[::-1], TRACKS[1:]])
def test_several_tracks_in_one_file_of_popes_own_format(tmp_path: Path, order: tuple[str, ...]) -> None:
    pope = Pope(write(tmp_path))
    rows = own_format(pope, *order)
    pairs = pope.read_answers(jsonl(tmp_path / "answers.json", rows))
    assert [(sample.truth["track"], text) for sample, text in pairs] == [(track, track) for track in order for _ in range(4)]
    (tmp_path / "list.json").write_text(json.dumps(rows, indent=1))
    assert pope.read_answers(tmp_path / "list.json") == pairs
    with pytest.raises(UserError, match=rf"{len(rows) - 1} answers do not match .* from answer {len(rows) - 3} on"):
        pope.read_answers(jsonl(tmp_path / "answers.json", rows[:-1]))
    with pytest.raises(UserError, match=rf"{len(rows) + 4} answers do not match"):
        pope.read_answers(jsonl(tmp_path / "answers.json", [*rows, *own_format(pope, order[0])]))


@pytest.mark.parametrize("said", [None, ["no"], 0, True, float("nan"), {"text": "no"}, "\ud800"])
@pytest.mark.parametrize(("question", "answer"), [("question", "answer"), ("question_id", "text")])
def test_an_answer_that_is_no_text_is_refused(tmp_path: Path, said: object, question: str, answer: str) -> None:
    pope = Pope(write(tmp_path))
    rows: list[dict[str, object]] = [{question: sample.id, answer: "no"} for sample in pope.questions]
    if question == "question":
        rows = [{**row, "answer": "no"} for row in own_format(pope, "random")]
    rows[2][answer] = said
    with pytest.raises(UserError, match=rf"a\.jsonl:3: '{answer}' is .*; expected a text"):
        pope.read_answers(jsonl(tmp_path / "a.jsonl", rows))
    assert main(["score", "--benchmark", "pope", "--answers", str(tmp_path / "a.jsonl"), "--data", str(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": ["yes"]}, "'label' is .*; expected yes or no"),
        ({"label": "maybe"}, "'label' is 'maybe'; expected yes or no"),
        ({"text": 3}, "'text' is 3; expected a text"),
        ({"image": None}, "'image' is null"),
        ({"question_id": 1.5}, "'question_id' is 1.5; expected a text or a whole number"),
    ],
)
def test_a_question_of_another_type_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    file = write(tmp_path) / "pope" / "coco_pope_popular.json"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    jsonl(file, [rows[0], rows[1] | changes])
    with pytest.raises(UserError, match=rf"coco_pope_popular\.json:2: {message}"):
        Pope(tmp_path).questions  # noqa: B018


def test_a_question_s_id_stands_once_in_a_track(tmp_path: Path) -> None:
    file = write(tmp_path) / "pope" / "coco_pope_popular.json"
    file.write_text(file.read_text().splitlines()[0] + "\n" + file.read_text())
    with pytest.raises(UserError, match="two questions of the track popular are called '1'"):
        Pope(tmp_path).questions  # noqa: B018


@pytest.mark.parametrize("there", [("random",), ("popular",), ("random", "adversarial")])
def test_a_folder_that_lacks_tracks_names_their_files(tmp_path: Path, there: tuple[str, ...]) -> None:
    write(tmp_path)
    absent = [track for track in TRACKS if track not in there]
    for track in absent:
        (tmp_path / "pope" / f"coco_pope_{track}.json").unlink()
    names = " and ".join(rf"coco_pope_{track}\.json" for track in absent)
    for folder in (tmp_path, tmp_path / "pope"):
        with pytest.raises(UserError, match=rf"pope lacks {names}; a score needs all three tracks.*suder-bench data fetch pope"):
            Pope(folder).samples()


@pytest.mark.parametrize("protocol", ["aokvqa", "gqa"])
def test_the_tracks_of_other_pictures(tmp_path: Path, protocol: str) -> None:
    write(tmp_path, name=f"{protocol}_pope_seem_{{}}.json", listed=True)
    pope = Pope(tmp_path, protocol)
    found = score(pope, [(sample, sample.truth["label"]) for sample in pope.samples()])
    assert all(name.startswith(f"{protocol}/") for name in found)
    assert found[pope.headline] == 1 == found[f"{protocol}/vlmevalkit/f1"]
    assert {pope.headline, *pope.paper_metrics} <= found.keys()
    with pytest.raises(UserError, match=r"no pope/coco_pope_random\.json"):
        Pope(tmp_path).samples()


def test_gqas_pictures_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, name="gqa_pope_seem_{}.json")
    (tmp_path / "gqa").mkdir()
    (tmp_path / "pope" / "images").rename(tmp_path / "gqa" / "images")
    assert Pope(tmp_path, "gqa").samples()[0].images == (tmp_path / "gqa" / "images" / "0.png",)


@pytest.mark.parametrize("protocol", ["aokvqa", "gqa"])
def test_official_files_of_other_pictures(protocol: str) -> None:
    questions = Pope(official(f"pope/{protocol}_pope_seem_random.json").parent, protocol).questions
    labels = [(sample.truth["track"], sample.truth["label"]) for sample in questions]
    assert all(labels.count((track, label)) == 1500 for track in TRACKS for label in ("yes", "no"))
    assert len({sample.cluster for sample in questions}) == 500


def test_answers_by_our_ids(tmp_path: Path) -> None:
    pope = Pope(write(tmp_path))
    rows = [{"question_id": sample.id, "text": "no"} for sample in pope.samples()]
    assert len(pope.read_answers(jsonl(tmp_path / "a.jsonl", reversed(rows)))) == 12
    for wrong, message in (
        (rows[1:], "11 answers against 12 questions; none for 'random/1'"),
        ([*rows, rows[0]], "two answers to 'random/1'"),
        ([*rows, {"question_id": "random/99", "text": ""}], "an answer to 'random/99'"),
    ):
        with pytest.raises(UserError, match=message):
            pope.read_answers(jsonl(tmp_path / "a.jsonl", wrong))


def test_labels_of_llavas_questions_come_from_the_tracks(tmp_path: Path) -> None:
    pope = Pope(write(tmp_path))
    asked = [("dog", "image", "random"), ("lemon", "imange", "random"), ("pear", "image", "popular")]
    rows = [
        {"question_id": i, "image": "1.png", "text": f"Is there a {name} in the {word}?\nAnswer.", "category": track}
        for i, (name, word, track) in enumerate(asked)
    ]
    jsonl(tmp_path / "pope" / "llava_pope_test.jsonl", rows)
    answers = jsonl(tmp_path / "a.jsonl", [{"question_id": i, "text": "no"} for i in range(3)])
    assert [sample.truth["label"] for sample, _ in pope.read_answers(answers)] == ["yes", "no", "no"]
    jsonl(tmp_path / "pope" / "llava_pope_test.jsonl", [rows[0] | {"text": "Is there a cow in the image?"}])
    with pytest.raises(UserError, match=r"no track has a label for 1\.png / cow"):
        Pope(tmp_path).read_answers(answers)


@pytest.mark.parametrize(
    ("question", "object_"),
    [("Is there an apple in the imange?", "an apple"), ("Is there a traffic light in the image?", "a traffic light")],
)
def test_objects(question: str, object_: str) -> None:
    assert thing(question) == object_
    assert noun(object_) in ("apple", "traffic light")


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_weights_are_copies(data: st.DataObject) -> None:
    answers, labels, tracks = (
        st.sampled_from(["yes", "no", "Yes.", "maybe"]),
        st.sampled_from(["yes", "no"]),
        st.sampled_from(TRACKS),
    )
    pairs = data.draw(
        st.lists(st.tuples(st.builds(ask, labels, tracks, st.sampled_from("abc")), answers), min_size=1, max_size=9)
    )
    rows = judge(Pope(Path()), pairs)
    copies, weights = duplicating(rows, {name: data.draw(st.integers(0, 2)) for name in "abc"})
    if copies:
        full, weighted = Pope(Path()).statistics(copies), Pope(Path()).statistics(rows)
        for name in weighted.keys() & full.keys():
            assert np.allclose(weighted[name].of(weights), full[name].of(np.ones(len(copies))), equal_nan=True), name


@pytest.mark.parametrize("data", ["", "pope"])
def test_llava_13b_golden_values(data: str) -> None:
    file = official("pope/golden_llava-v1.5-13b_answers.jsonl")
    pope = Pope(file.parent.parent / data)
    pairs = pope.read_answers(file)
    rows = judge(pope, pairs)
    statistics = pope.statistics(rows)
    found = {name: float(statistic.of(np.ones(len(rows)))) for name, statistic in statistics.items()}
    counts = {track: tuple(int(found[f"{cell}_{track}"]) for cell in ("tp", "fp", "tn", "fn")) for track in TRACKS}
    assert counts == {"random": (1182, 31, 1379, 318), "popular": (1182, 59, 1441, 318), "adversarial": (1182, 117, 1383, 318)}
    digits = {
        "acc_random": "0.880069",
        "precision_random": "0.974444",
        "recall_random": "0.788000",
        "f1_random": "0.871360",
        "yes_random": "0.416838",
        "f1_popular": "0.862459",
        "acc_popular": "0.874333",
        "f1_adversarial": "0.844587",
        "acc_adversarial": "0.855000",
        "mean_f1": "0.859469",
        "pooled_f1": "0.859324",
        "pooled_acc": "0.869697",
    }
    assert {name: f"{found[name]:.6f}" for name in digits} == digits
    assert statistics["acc_random"].n == 2910


def test_stored_answers_are_scored_by_command_without_the_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    file = official("pope/golden_llava-v1.5-13b_answers.jsonl")
    command = ["score", "--benchmark", "pope", "--answers", str(file), "--data", str(file.parent.parent), "--json"]
    assert main(command) == 0
    entry = json.loads(capsys.readouterr().out)["benchmarks"]["pope"]
    wanted = {"f1_random": "0.871360", "f1_popular": "0.862459", "f1_adversarial": "0.844587", "mean_f1": "0.859469"}
    assert {name: f"{entry['metrics'][name]['value']:.6f}" for name in wanted} == wanted
    assert (entry["n_samples"], entry["n_responses"], entry["skipped"]) == (8910, 8910, 0)


def test_2910_answers_do_not_fit_3000_labels(tmp_path: Path) -> None:
    folder = official("pope/llava_pope_test.jsonl").parent
    old = [row for row in json_rows(folder / "llava_pope_test.jsonl") if row["category"] == "random"]
    rows = [{"question": row["text"].split("\n")[0], "answer": "yes"} for row in old]
    with pytest.raises(UserError, match=r"2,910 answers do not match the questions of any track.*random 3,000"):
        Pope(folder).read_answers(jsonl(tmp_path / "a.jsonl", rows))
    ids = jsonl(tmp_path / "b.jsonl", [{"question_id": row["question_id"], "text": "yes"} for row in old])
    with pytest.raises(UserError, match="2,910 answers against 8,910 questions"):
        Pope(folder).read_answers(ids)


def test_official_files() -> None:
    questions = Pope(official("pope/coco_pope_random.json").parent).questions
    assert [sum(sample.truth["track"] == track for sample in questions) for track in TRACKS] == [3000] * 3
    assert len({(sample.cluster, sample.prompt) for sample in questions}) == 5127
    assert len({sample.cluster for sample in questions}) == 500
