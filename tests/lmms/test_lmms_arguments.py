"""What lmms-eval says of a model and of its answers, read without lmms-eval."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suder_bench.errors import UserError, install
from suder_bench.lmms import arguments, tasks
from suder_bench.lmms.arguments import Arguments
from suder_bench.lmms.questions import choices, opened, questions, talks
from suder_bench.models.protocols import TextSampling
from suder_bench.runs.batches import AUTO

REPOSITORY = Path(__file__).parents[2]
TINY = {"pretrained": "tiny-janus"}


@pytest.mark.parametrize(
    ("given", "beside", "size"),
    [
        ({}, {"batch_size": 1}, AUTO),  # lmms-eval's default
        ({}, {"batch_size": "1"}, 1),
        ({}, {"batch_size": "auto:4"}, AUTO),
        ({}, {"batch_size": "auto", "max_batch_size": 8}, 8),
        ({"batch_size": 4}, {"batch_size": "16"}, 4),
        ({"batch_size": 1}, {"batch_size": 1}, 1),
    ],
)
def test_the_batch_size_is_ours_unless_somebody_says_one(given, beside, size):
    assert arguments.read(TINY | given, {"device": None, "max_batch_size": None} | beside).at_once == size


def test_the_device_of_the_command_line_counts_where_the_arguments_have_none():
    assert arguments.read(TINY, {"device": "cpu"}).device == "cpu"
    assert arguments.read(TINY | {"device": "cuda:1"}, {"device": "cpu"}).device == "cuda:1"


def test_a_model_that_lmms_eval_read_as_a_number_is_a_name_again():
    assert arguments.read({"pretrained": 2024}, {}) == Arguments("2024")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "--model_args names no model; write pretrained=tiny-janus"),
        (
            TINY | {"attn_implementation": "sdpa"},
            "unknown model argument 'attn_implementation'; (choices: allow_missing, batch_size, device",
        ),
        (TINY | {"sed": 1}, "unknown model argument 'sed'; did you mean 'seed'?"),
        (TINY | {"seed": 0.5}, "seed=0.5 of --model_args is not a whole number"),
        (TINY | {"seed": True}, "seed=True of --model_args is not a whole number"),
        (TINY | {"seed": -1}, "seed=-1 of --model_args is not a whole number"),
        (TINY | {"max_new_tokens": 0}, "max_new_tokens=0 of --model_args is not a whole number from 1 on"),
        (TINY | {"guidance": "much"}, "guidance=much of --model_args is not a number"),
        (TINY | {"batch_size": "big"}, "batch size 'big' is neither auto nor a whole number from 1 on"),
        (TINY | {"batch_size": 0}, "batch size '0' is neither auto nor a whole number from 1 on"),
        (TINY | {"mode": "drawing"}, "unknown mode 'drawing'"),
    ],
)
def test_a_mistake_is_one_line(given, says):
    with pytest.raises(UserError) as mistake:
        arguments.read(given, {})
    assert str(mistake.value).startswith(says)


@pytest.mark.parametrize(
    ("asked", "sampling"),
    [
        ({}, TextSampling(0.0, 77)),
        ({"max_new_tokens": 16, "temperature": 0, "do_sample": False}, TextSampling(0.0, 16)),
        ({"max_gen_toks": 5, "temperature": 0.5}, TextSampling(0.5, 5)),
        ({"do_sample": True}, TextSampling(1.0, 77)),
        ({"do_sample": False, "temperature": 0.7}, TextSampling(0.0, 77)),
        ({"temperature": None, "max_new_tokens": None}, TextSampling(0.0, 77)),
    ],
)
def test_a_task_decides_how_answers_are_written(asked, sampling):
    assert arguments.text_sampling(asked, 77) == sampling


@pytest.mark.parametrize("asked", [{"temperature": "hot"}, {"max_new_tokens": [1]}, {"temperature": -1}])
def test_settings_of_a_task_that_mean_nothing_are_refused(asked):
    with pytest.raises(UserError):
        arguments.text_sampling(asked, 77)


def test_what_is_not_followed_is_named_where_it_would_change_an_answer():
    assert arguments.unfollowed({"top_p": 0.9, "top_k": 5, "num_beams": 1, "temperature": 0}) == []
    sampled = {"top_p": 0.9, "top_k": 5, "temperature": 0.5}
    assert arguments.unfollowed(sampled) == ["top_p 0.9", "top_k 5"]
    assert arguments.unfollowed({"num_beams": 3, "repetition_penalty": 1.2}) == ["num_beams 3", "repetition_penalty 1.2"]


def test_an_answer_ends_at_the_first_stop_and_not_at_a_paragraph():
    words = arguments.stops({"until": ["\n\n", "ASSISTANT:", "", "Q:"]})
    assert arguments.cut("one\n\ntwo Q: three ASSISTANT: four", words) == "one\n\ntwo"
    assert arguments.stops({"until": "END"}) == ("END",)
    assert arguments.stops({"until": None}) == arguments.stops({}) == ()


@given(st.text(), st.lists(st.text(min_size=1)))
def test_a_cut_answer_holds_no_stop(answer, words):
    found = arguments.cut(answer, tuple(words))
    assert found in answer
    assert not any(word in found for word in words)


def test_tasks_that_edit_are_refused_by_name():
    tasks.check({"pope", "WISE"})
    with pytest.raises(UserError, match=r"^gedit_bench, imgedit: .*; leave them out of --tasks$"):
        tasks.check({"imgedit", "pope", "gedit_bench"})


def test_a_visual_chain_of_thought_is_parted_or_refused():
    context = "[GEN_PROMPT]Draw: {question}[/GEN_PROMPT]\n[QUESTION]\nHow many?[/QUESTION]"
    assert tasks.chain("t", context) == ("Draw: How many?", "How many?")
    with pytest.raises(UserError, match=r"^unig2u_uni_mmmu_maze100_visual_cot: "):
        tasks.chain("unig2u_uni_mmmu_maze100_visual_cot", "Draw the steps one by one.")


DATA = {"t": {"test": [{"shade": 7}, {"shade": 9}]}}


def look(doc):
    return [Image.new("L", (2, 2), doc["shade"])]


def test_every_repeat_of_a_request_has_a_seed_of_its_own():
    requests = [SimpleNamespace(args=("Which shade?", {}, look, number, "t", "test")) for number in (0, 0, 1)]
    first, again, other = questions(requests, Arguments("m"), DATA)
    assert len({first.seed, again.seed, other.seed}) == 3
    assert [question.seed for question in questions(requests, Arguments("m"), DATA)] == [first.seed, again.seed, other.seed]
    assert questions(requests[:1], Arguments("m", seed=1), DATA)[0].seed != first.seed
    assert [question.pictures()[0].getpixel((0, 0)) for question in (first, other)] == [(7, 7, 7), (9, 9, 9)]


def test_a_talk_goes_on_until_its_task_ends_it():
    def follow(doc, *, previous_output, round_idx, previous_round_info):
        return None, f"round {round_idx}", round_idx == 2, previous_output, (previous_round_info or 0) + doc["shade"]

    [talk] = talks([SimpleNamespace(args=("start", {}, look, follow, 1, "t", "test"))], Arguments("m"), DATA)
    talk.go_on("a")
    assert (talk.question.text, talk.question.pictures(), talk.ended) == ("round 1", [], False)
    talk.go_on("b")
    assert (talk.said, talk.kept, talk.ended) == (("a", "b"), 18, True)


def test_a_likelihood_is_asked_of_words_or_of_a_document_s_target():
    requests = [
        SimpleNamespace(args=("Which?", " grey", look, 0, "t", "test")),
        SimpleNamespace(args=("Which?", lambda doc: str(doc["shade"]), look, 1, "t", "test")),
        SimpleNamespace(args=("", "grey"), doc_id=0, task_name="t"),
    ]
    found = choices(requests, DATA)
    assert [question.continuation for question in found] == ["grey", "9", "grey"]
    assert [len(question.pictures()) for question in found] == [1, 1, 0]


@pytest.mark.parametrize("shown", [["clip.mp4"], [{"array": [0.0], "sampling_rate": 16_000}]])
def test_videos_and_sounds_are_refused(shown):
    with pytest.raises(UserError, match=r"^t shows (str|dict) .*; leave it out of --tasks$"):
        opened("t", shown)


def test_a_picture_is_shown_alone_in_a_list_or_not_at_all():
    one = Image.new("I;16", (2, 2), 65_535)
    assert [picture.getpixel((0, 0)) for picture in opened("t", one)] == [(255, 255, 255)]
    assert opened("t", None) == opened("t", []) == []


def pins(name: str) -> dict[str, str]:
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    rows = [line.partition("==") for line in lines if not line.startswith("#")]
    assert [f"{package}=={version}" for package, _, version in rows] == sorted(line for line in lines if not line.startswith("#"))
    return {package: version for package, _, version in rows}


def test_the_two_files_of_constraints_differ_in_what_lmms_eval_needs_alone():
    ours, theirs = pins("constraints.txt"), pins("constraints-lmms.txt")
    assert {name for name, version in ours.items() if theirs.get(name) != version} == {"torch", "torchvision", "protobuf"}
    assert theirs["lmms-eval"] == "0.7.3"


def test_people_are_told_the_constraints_that_fit():
    assert install("lmms") == 'pip install -c constraints-lmms.txt ".[lmms]"'
    assert install("train") == 'pip install -c constraints.txt ".[train]"'
