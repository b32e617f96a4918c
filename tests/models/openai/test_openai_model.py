"""A model behind an address: what is asked of its server, what becomes of the replies, and who gets the key."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from judge_server import sleeping
from openai_server import Answer, Asked, document, drawn, loaded, models, refused, said, server_of
from PIL import Image
from under_way import UnderWay

from suder_bench.errors import Unreachable, UserError
from suder_bench.models.openai import told
from suder_bench.models.protocols import ImageSampling, ImageToText, TextLikelihood, TextSampling, TextToImage
from suder_bench.runs.respond import check_sampling
from suder_bench.testing import UNCONTROLLED

KEY = "sk-0123456789abcdef-secret"
OWN = ImageSampling(guidance=None)
GREEDY = TextSampling(max_new_tokens=16)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "SUDER_BENCH_MODEL_KEY", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return sleeping(monkeypatch)


def draw(model: Any, *prompts: str, sampling: ImageSampling = OWN) -> list[Image.Image]:
    return [one.picture for one in model.generate(prompts, seeds=range(len(prompts)), sampling=sampling)]


def answer(model: Any, *questions: str) -> list[str]:
    found: list[str] = model.answer([[]] * len(questions), questions, seeds=range(len(questions)), sampling=GREEDY)
    return found


def bodies(server: Any, end: str) -> list[Any]:
    return [one.body for one in server.asked if one.path.endswith(end)]


def test_a_server_that_says_nothing_is_taken_to_draw_and_to_answer_without_seeds() -> None:
    with server_of({"/images/generations": drawn(), "/chat/completions": said("yes")}) as server:
        model = loaded(server)
        assert isinstance(model, TextToImage)
        assert isinstance(model, ImageToText)
        assert not isinstance(model, TextLikelihood)
        assert model.settings["seed"] == model.settings["guidance"] == UNCONTROLLED == told.UNCONTROLLED
        assert model.settings["tasks"] == "generate, answer (assumed)"
        draw(model, "a red ball")
        answer(model, "Is it?")
        fixed = {"model": "m", "n": 1, "response_format": "b64_json", "output_format": "png"}
        assert bodies(server, "/generations") == [{**fixed, "prompt": "a red ball"}]
        [asked] = bodies(server, "/completions")
        assert (asked["temperature"], asked["max_tokens"], "seed" in asked) == (0, 16, False)


@pytest.mark.parametrize(
    ("tasks", "able"),
    [(["generate"], (True, False, False)), (["answer"], (False, True, False)), (["answer", "score_text"], (False, True, True))],
)
def test_a_model_has_the_protocols_of_its_tasks_and_no_others(tasks: list[str], able: tuple[bool, ...]) -> None:
    with server_of({}, {"umm": {"tasks": tasks}}) as server:
        model = loaded(server)
        assert tuple(isinstance(model, protocol) for protocol in (TextToImage, ImageToText, TextLikelihood)) == able


def test_known_servers_are_sent_the_low_bits_of_the_seed() -> None:
    with server_of({"/images/generations": drawn()}, {"owned_by": "vllm"}) as server:
        model: Any = loaded(server)
        model.generate(["a"], seeds=[2**62 + 5], sampling=ImageSampling(guidance=4.0, steps=20))
        [asked] = bodies(server, "/generations")
        assert (asked["seed"], asked["guidance_scale"], asked["num_inference_steps"]) == (5, 4.0, 20)
        assert model.settings["seed"] != UNCONTROLLED


def test_pictures_of_equal_prompts_are_drawn_each_for_itself_without_seeds() -> None:
    count = iter(range(9))
    with server_of({"/images/generations": lambda asked: drawn((next(count), 0, 0))}) as server:
        shades = {picture.getpixel((0, 0)) for picture in draw(loaded(server), "a ball", "a ball", "a ball")}
        assert len(shades) == 3


def test_the_user_s_settings_are_sent_and_null_leaves_out() -> None:
    with server_of({"/images/generations": drawn(), "/chat/completions": said("x")}) as server:
        model = loaded(server, "#image.response_format=null,image.quality=high,chat.temperature=null,chat.top_k=1")
        draw(model, "a")
        answer(model, "b")
        [asked] = bodies(server, "/generations")
        assert asked == {"model": "m", "prompt": "a", "n": 1, "output_format": "png", "quality": "high"}
        [asked] = bodies(server, "/completions")
        assert ("temperature" in asked, asked["top_k"]) == (False, 1)
        assert model.settings["image.quality"] == '"high"'


def test_settings_that_the_server_does_not_take_end_the_work_before_anything_is_drawn() -> None:
    umm = {"tasks": ["generate"], "settings": {"generate": ["seed"]}}
    with server_of({"/images/generations": drawn()}, {"umm": umm}) as server:
        for sampling in (
            ImageSampling(guidance=3.0),
            ImageSampling(guidance=None, temperature=0),
            ImageSampling(guidance=None, steps=4),
        ):
            with pytest.raises(Unreachable, match=r"takes no (guidance_scale|temperature|num_inference_steps)"):
                draw(loaded(server), "a", sampling=sampling)
            with pytest.raises(Unreachable, match="takes no"):
                check_sampling(loaded(server), sampling)
        assert bodies(server, "/generations") == []


def test_another_name_than_the_server_s_is_refused_with_the_nearest() -> None:
    with server_of({"/models": models("qwen-vl", "other")}) as server, pytest.raises(UserError, match="did you mean 'qwen-vl'"):
        loaded(server, model="qwen-v")


def test_what_is_no_list_of_models_is_told_in_a_line() -> None:
    for body in (b"<html>", b"[1]", b'{"data": 3}', b"[" * 100_000):
        with server_of({"/models": Answer(body=body)}) as server, pytest.raises(UserError, match="is no list of models"):
            loaded(server)


def test_a_rewritten_prompt_is_kept_in_the_picture_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with server_of({"/images/generations": drawn(revised_prompt="a shiny ball")}) as server:
        model = loaded(server)
        assert [one.info["revised_prompt"] for one in (*draw(model, "a", "b"), *draw(model, "c"))] == ["a shiny ball"] * 3
    assert capsys.readouterr().err.count("rewrites prompts") == 1


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (document({"data": []}), "without a picture"),
        (document({"data": [{"url": "http://elsewhere/p.png"}]}), "address of a picture, which is not opened"),
        (document({"data": [{"b64_json": "AAAA"}]}), "cannot be read"),
        (document({"data": [{"b64_json": "no base64!"}]}), "cannot be read"),
        (document(3), "without a picture"),
        (Answer(body=b"\x00" * 9), "no JSON"),
        (drawn(side=9_000), "pixels are too many"),
    ],
)
def test_a_picture_that_is_none_fails_in_a_line(reply: Answer, says: str) -> None:
    with server_of({"/images/generations": reply}) as server, pytest.raises(UserError, match=says) as caught:
        draw(loaded(server), "a")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (said(None, refusal="I would rather not."), "refuses this request .I would rather not"),
        (document({"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}), "refuses this request"),
        (document({"choices": [{"message": {"content": None}, "finish_reason": "length"}]}), "ran out of tokens"),
        (document({}), "without an answer"),
        (refused(400, "max_tokens is not supported"), r"leave it to the server with #chat\.max_tokens=null"),
    ],
)
def test_an_answer_that_is_none_fails_in_a_line(reply: Answer, says: str) -> None:
    with server_of({"/chat/completions": reply}) as server, pytest.raises(UserError, match=says):
        answer(loaded(server), "Is it?")


def test_a_thought_that_a_server_keeps_apart_is_no_part_of_the_answer() -> None:
    with server_of({"/chat/completions": said("yes", reasoning_content="Well, it is red.")}) as server:
        assert answer(loaded(server), "Is it?") == ["yes"]


def test_nothing_is_asked_for_twice_when_one_of_a_batch_is_refused() -> None:
    policy = Answer(400, json.dumps({"error": {"message": "no", "code": "content_policy_violation"}}).encode())
    replies = {"/images/generations": lambda asked: policy if asked.body["prompt"] == "bad" else drawn()}
    with server_of(replies) as server:
        model = loaded(server)
        prompts, seeds = ["a", "bad", "c", "d"], range(4)
        for chosen in ([0, 1, 2, 3], [0, 1], [0], [1], [2, 3]):
            call = lambda chosen=chosen: model.generate(  # noqa: E731
                [prompts[i] for i in chosen], seeds=[seeds[i] for i in chosen], sampling=OWN
            )
            if 1 in chosen:
                with pytest.raises(UserError, match=r"refuses this request .* it counts as failed"):
                    call()
            else:
                assert len(call()) == len(chosen)
        assert sorted(body["prompt"] for body in bodies(server, "/generations")) == ["a", "bad", "c", "d"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_passing_troubles_are_waited_out(status: int, pauses: list[float]) -> None:
    script = iter([refused(status, "busy", Retry_After="3"), refused(status, "busy"), drawn()])
    with server_of({"/images/generations": lambda asked: next(script)}) as server:
        assert len(draw(loaded(server), "a")) == 1
    assert pauses == ([1.0, 2.0] if status == 500 else [3.0, 2.0])


def test_a_model_that_stumbles_over_one_prompt_goes_on_with_others(pauses: list[float]) -> None:
    replies = {"/images/generations": lambda asked: refused(500, "nan") if asked.body["prompt"] == "bad" else drawn()}
    with server_of(replies) as server:
        model = loaded(server)
        with pytest.raises(UserError, match="failed in 4 tries: HTTP 500") as caught:
            draw(model, "bad")
        assert not isinstance(caught.value, Unreachable)
        assert len(draw(model, "good")) == 1


def test_a_server_that_is_gone_ends_the_work(pauses: list[float]) -> None:
    with server_of({"/images/generations": drawn()}) as server:
        model = loaded(server)
    server.server_close()
    with pytest.raises(Unreachable, match="gave no reply in 4 tries"):
        draw(model, "a", "b")


def test_a_server_that_never_answers_in_time_ends_the_work_after_three(pauses: list[float]) -> None:
    with server_of({"/images/generations": Answer(body=b"x" * 99, drip=1.0)}) as server:
        model = loaded(server, "#timeout=0.2,concurrency=1")
        with pytest.raises(Unreachable, match="as others in a row"):
            draw(model, "a", "b", "c", "d", "e")
        assert len({body["prompt"] for body in bodies(server, "/generations")}) == 3


def test_a_reply_without_end_is_not_read_to_its_end() -> None:
    endless = Answer(body=b" " * 65_536, endless=True)
    with server_of({"/generations": endless}) as server, pytest.raises(UserError, match="more than 64 MB in one reply"):
        draw(loaded(server), "a")


def test_no_more_requests_than_are_allowed_are_under_way() -> None:
    under_way = UnderWay()

    def slow(asked: Asked) -> Answer:
        with under_way:
            time.sleep(0.05)
        return drawn()

    with server_of({"/images/generations": slow}) as server:
        draw(loaded(server, "#concurrency=3"), *map(str, range(9)))
    assert under_way.most == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_key_along(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDER_BENCH_MODEL_KEY", KEY)
    with server_of({"/generations": drawn(), "/models": models("m")}, {}) as other:
        away = Answer(status, headers={"Location": f"{other.url}/images/generations"})
        with server_of({"/generations": away}, {}) as first:
            with pytest.raises(Unreachable, match="no redirect is followed"):
                draw(loaded(first), "a")
            assert first.keys == {f"Bearer {KEY}"}
        away = Answer(status, headers={"Location": f"{other.url}/models"})
        with server_of({"/models": away}) as first, pytest.raises(Unreachable, match="no redirect is followed"):
            loaded(first)
        assert other.asked == []


@pytest.mark.parametrize(
    ("own", "shared", "base", "sent"),
    [
        (KEY, "", "", KEY),
        ("", KEY, "", KEY),
        (KEY, "sk-judge", "", KEY),
        ("", KEY, "http://judge.example/v1", None),
        ("", KEY, "here", KEY),
        ("", "", "", None),
    ],
)
def test_which_key_the_address_gets(own: str, shared: str, base: str, sent: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    with server_of({"/generations": drawn()}, {}) as server:
        for name, value in (
            ("SUDER_BENCH_MODEL_KEY", own),
            ("OPENAI_API_KEY", shared),
            ("OPENAI_BASE_URL", server.url if base == "here" else base),
        ):
            if value:
                monkeypatch.setenv(name, value)
        model = loaded(server)
        draw(model, "a")
        assert server.keys == {None if sent is None else f"Bearer {sent}"}
        assert KEY not in json.dumps([model.settings, model.name, model.fingerprint])


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_an_error_never_quotes_the_key(status: int, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    monkeypatch.setenv("SUDER_BENCH_MODEL_KEY", KEY)
    echo = Answer(status, json.dumps({"error": f"wrong key {KEY}"}).encode())
    with server_of({"/generations": echo}, {}) as server, pytest.raises(UserError, match=r"\[key\]") as caught:
        draw(loaded(server), "a")
    assert KEY not in str(caught.value)


def test_offline_forbids_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    from suder_bench.models.openai.model import OpenAIModel

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="--offline forbids"):
        OpenAIModel.load("m@http://models.example/v1", device="cpu", dtype="float32")
    with server_of({}, {}) as server:
        loaded(server)


def test_a_model_that_lists_itself_is_known_by_that_and_another_by_its_address() -> None:
    umm = {"umm": {"tasks": ["generate"], "revision": "1"}}
    with server_of({}, umm) as one, server_of({}, umm) as same, server_of({}, {"umm": {"tasks": ["generate"]}}) as other:
        assert loaded(one).fingerprint == loaded(same).fingerprint != loaded(other).fingerprint
    with server_of({}, {}) as one, server_of({}, {}) as other:
        assert loaded(one).fingerprint != loaded(other).fingerprint
