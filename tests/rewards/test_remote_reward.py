"""The reward of judges behind an address: TRL's signature, DDPO's, this package's trainings, and servers that fail."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from judge_server import Answer, Asked, refused, serving
from PIL import Image

from suder_bench.cli import main
from suder_bench.errors import UserError
from suder_bench.rewards import remote
from suder_bench.rewards.protocols import ChecksPrompts, PictureReward, TellsItsJudges
from suder_bench.rewards.remote import RemoteReward, picture

OFFERED = {"name": "drawing", "protocol": "official", "judges": {}, "fingerprint": "f1"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    monkeypatch.delenv("SUDER_BENCH_TOKEN", raising=False)


def shade(item: dict[str, Any]) -> dict[str, Any]:
    """The share of red of a picture's first pixel, for prompts that do not begin with "no"."""
    if item["prompt"].startswith("no"):
        return {"error": {"code": "unknown_prompt", "message": f"nobody knows {item['prompt']}"}}
    if "picture" not in item:
        return {"sample": "0"}
    seen = Image.open(io.BytesIO(base64.b64decode(item["picture"])))
    return {"score": seen.getpixel((0, 0))[0] / 255, "reason": "red", "correct": None}


def server(asked: Asked, before: int, **changes: Any) -> Answer:
    if asked.method == "GET":
        return Answer(body=json.dumps({"benchmarks": [OFFERED]}).encode())
    rows = [shade(item) for item in asked.body["items"]]
    return Answer(body=json.dumps({"fingerprint": "f1", "results": rows, **changes}).encode())


@pytest.fixture
def served() -> Iterator[Any]:
    with serving(server) as found:
        yield found


def red(*shades: int) -> list[Image.Image]:
    return [Image.new("RGB", (4, 4), (value, 0, 0)) for value in shades]


def address(served: Any) -> str:
    return str(served.url.removesuffix("/v1"))


def test_it_is_a_reward_of_this_package(served: Any) -> None:
    reward = RemoteReward(address(served))
    assert isinstance(reward, ChecksPrompts)
    assert isinstance(reward, TellsItsJudges)
    usual: PictureReward = reward
    assert usual.score_images(["a", "b"], red(51, 255)) == [0.2, 1.0]
    assert reward.told() == {"url": address(served), **OFFERED}
    reward.check(["a", "b"])
    with pytest.raises(UserError, match="cannot judge the prompt 'no c': nobody knows no c"):
        reward.check(["a", "no c"])


def test_pictures_are_split_into_requests_and_their_order_is_kept(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, prompts = red(*range(0, 250, 5)), [f"p{i}" for i in range(50)]
    expected = [value / 255 for value in range(0, 250, 5)]
    assert RemoteReward(address(served), batch_size=8).score_images(prompts, pictures) == expected
    sizes = [len(asked.body["items"]) for asked in served.asked if asked.method == "POST"]
    assert sorted(sizes) == [2, 8, 8, 8, 8, 8, 8]
    served.asked.clear()
    monkeypatch.setattr(remote, "MOST", 250)
    assert RemoteReward(address(served)).score_images(prompts[:4], pictures[:4]) == expected[:4]
    assert all(len(asked.body["items"]) < 3 for asked in served.asked if asked.method == "POST")


CALLS: dict[str, Callable[[RemoteReward], list[float]]] = {
    "completions": lambda reward: reward(prompts=["a", "b"], completions=red(51, 255), completion_ids=[[1], [2]]),
    "images": lambda reward: reward(prompts=["a", "b"], completions=["", ""], images=red(51, 255)),
    "conversations": lambda reward: reward(
        prompts=[
            [{"role": "system", "content": "Draw."}, {"role": "user", "content": prompt}]
            for prompt in ("a", [{"type": "text", "text": "b"}])
        ],
        completions=[
            [{"role": "assistant", "content": [{"type": "text", "text": "Here."}, {"type": "image", "image": one}]}]
            for one in red(51, 255)
        ],
    ),
    "ddpo": lambda reward: reward.of_images(red(51, 255), ["a", "b"], [{}, {}])[0],
    "tensors": lambda reward: reward.of_images(torch.tensor([0.2, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 8, 8), ["a", "b"])[0],
}


@pytest.mark.parametrize("way", CALLS)
def test_every_signature_gives_the_same_numbers(way: str, served: Any) -> None:
    assert CALLS[way](RemoteReward(address(served))) == [0.2, 1.0]


def test_columns_of_a_data_set_are_the_metadata(served: Any) -> None:
    reward = RemoteReward(address(served))
    columns = {"tag": ["counting", "colors"], "include": [[1], [2]], "seed": [3, 4], "trainer_state": None}
    reward(prompts=["a", "b"], completions=red(1, 2), **columns)
    reward(prompts=["a", "b"], completions=red(1, 2), metadata=[{"category": "color"}, None])
    sent = [[item.get("metadata") for item in asked.body["items"]] for asked in served.asked if asked.method == "POST"]
    assert sent == [
        [{"tag": "counting", "include": [1]}, {"tag": "colors", "include": [2]}],
        [{"category": "color"}, None],
    ]


def test_trls_own_trainer_takes_it(served: Any) -> None:
    """The method of GRPOTrainer that calls reward functions, on a stand-in of the trainer."""
    trl = pytest.importorskip("trl.trainer.grpo_trainer")
    reward = RemoteReward(address(served))
    trainer = SimpleNamespace(
        accelerator=SimpleNamespace(device="cpu", is_main_process=False),
        reward_funcs=[reward],
        reward_processing_classes=[None],
        reward_func_names=[trl.get_callable_name(reward)],
        state=SimpleNamespace(global_step=1),
        environments=None,
        _log_completion_extra=None,
        _log_metric=None,
        args=SimpleNamespace(report_to=[]),
    )
    patched = pytest.MonkeyPatch()
    patched.setattr(trl, "gather", lambda tensor: tensor)
    try:
        inputs = [{"prompt": "a", "tag": "colors"}, {"prompt": "b", "tag": "colors"}]
        found = trl.GRPOTrainer._calculate_rewards(trainer, inputs, ["a", "b"], red(51, 255), [[0], [0]])
    finally:
        patched.undo()
    assert found.tolist() == [[pytest.approx(0.2)], [1.0]]
    assert trainer.reward_func_names == [f"remote:{address(served)}"]


def test_a_picture_without_a_number_is_an_error_and_never_a_zero(served: Any) -> None:
    reward = RemoteReward(address(served))
    rows = reward.results(["a", "no b"], red(51, 255))
    assert (rows[0]["score"], rows[1]["error"]["code"]) == (0.2, "unknown_prompt")
    for call in (lambda: reward.score_images(["a", "no b"], red(1, 2)), lambda: reward.of_images(red(1, 2), ["a", "no b"])):
        with pytest.raises(UserError, match="nobody knows no b"):
            call()


def test_it_comes_again_when_the_server_is_busy() -> None:
    def busy(asked: Asked, before: int) -> Answer:
        if asked.method == "POST" and before < 7:
            return refused(429, "the queue is full", Retry_After="0")
        return server(asked, before)

    with serving(busy) as found:
        assert RemoteReward(address(found)).score_images(["a"], red(51)) == [0.2]
        assert len(found.asked) == 8


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refused(401, "send the token"), "no key was sent; check address, model and key"),
        (refused(400, "an item has a prompt"), "an item has a prompt"),
        (Answer(body=b"<html>"), "is no suder-bench serve"),
        (Answer(body=b'{"results": [3]}'), "is no suder-bench serve"),
        (Answer(body=b'{"results": []}'), "answers 1 items with 0 rows"),
        (Answer(body=b'{"fingerprint": "f2", "results": [{"score": 1}]}'), "not those of the start"),
        (Answer(body=b'{"results": [{"score": null}]}'), "gives no number"),
        (Answer(body=b'{"results": [{"score": true}]}'), "gives no number"),
    ],
)
def test_what_a_server_does_wrong_is_told_in_a_line(answer: Answer, told: str) -> None:
    def wrong(asked: Asked, before: int) -> Answer:
        return server(asked, before) if asked.method == "GET" else answer

    with serving(wrong) as found, pytest.raises(UserError, match=told) as caught:
        RemoteReward(address(found)).score_images(["a"], red(51))
    assert "\n" not in str(caught.value)


def test_the_benchmark_is_named_where_a_server_has_several() -> None:
    both = [OFFERED, OFFERED | {"name": "painting", "fingerprint": "f2"}]

    def two(asked: Asked, before: int) -> Answer:
        if asked.method == "GET":
            return Answer(body=json.dumps({"benchmarks": both}).encode())
        return server(asked, before, fingerprint="f2")

    with serving(two) as found:
        assert RemoteReward(f"{address(found)}#painting").score_images(["a"], red(51)) == [0.2]
        assert found.asked[-1].body["benchmark"] == "painting"
        with pytest.raises(UserError, match=r"has several; name one after # \(choices: drawing, painting\)"):
            RemoteReward(address(found)).check(["a"])
        with pytest.raises(UserError, match="has no 'sculpting'"):
            RemoteReward(address(found), benchmark="sculpting").check(["a"])


def test_the_token_goes_along_and_is_not_quoted(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDER_BENCH_TOKEN", "of-the-environment")
    RemoteReward(address(served)).check(["a"])
    RemoteReward(address(served), token="of-the-call").check(["a"])
    assert [one.key for one in served.asked] == ["Bearer of-the-environment"] * 2 + ["Bearer of-the-call"] * 2


@pytest.mark.parametrize("url", ["", "localhost:8321", "http://", "http://a b", "http://user:secret@host:1"])
def test_what_is_no_address_is_told_at_once(url: str) -> None:
    with pytest.raises(UserError) as caught:
        RemoteReward(url)
    assert "secret" not in str(caught.value).partition("address")[2]


def test_arrays_and_tensors_are_pictures() -> None:
    values = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    for one in (values, values.transpose(2, 0, 1), values / 255, torch.tensor(values), torch.tensor(values / 255).half()):
        np.testing.assert_array_equal(np.asarray(picture(one)), values)
    for wrong in (values[0], values.astype(np.int64), values[..., :2]):
        with pytest.raises(ValueError, match="three channels"):
            picture(wrong)


def test_importing_it_needs_no_torch() -> None:
    code = "import sys, suder_bench.rewards.remote; print({'torch', 'transformers', 'scipy'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout == "set()\n"


def test_a_comparison_of_rewards_takes_it_and_says_who_judged(served: Any, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red ball\na blue box\n")
    name = f"remote:{address(served)}"
    command = ["reward", "compare", "--model", "tiny-janus", "--prompts", str(prompts), "--samples", "2", "--captions", "0"]
    assert main([*command, "--rewards", f"{name},clip", "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out/compare.json").read_text())
    assert found["remote"] == {name: {"url": address(served), **OFFERED}}
    assert list(found["pictures"]["rewards"]) == [name, "clip"]
    prompts.write_text("a red ball\nno such thing\n")
    assert main([*command, "--rewards", name, "--device", "cpu", "--out", str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()
