"""A judge behind an address: what a server may send without harm, and what the user is told."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import judge_server
import pytest
from judge_server import Answer, Asked, JudgeServer, able, dripping_header, refused, said, serving, sleeping
from PIL import Image
from under_way import UnderWay

from suder_bench.errors import JudgeError, Unreachable, UserError
from suder_bench.evaluators.judges import official
from suder_bench.evaluators.judges.endpoint import Endpoint
from suder_bench.evaluators.judges.protocols import Talk
from suder_bench.remote import client, exchange
from suder_bench.remote.client import TRIES
from suder_bench.terms import AT_ONCE, Terms

KEY = "sk-0123456789abcdef-secret"
Serve = Callable[..., JudgeServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server that sends these answers in order, and the last one again and again; or what a function says."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(*script: Answer | Callable[[Asked, int], Answer]) -> JudgeServer:
            first = script[0]
            reply = first if callable(first) else lambda asked, before: script[min(before, len(script) - 1)]
            return stack.enter_context(serving(reply))

        yield start


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "SUDER_BENCH_LLM", "OPENAI_API_KEY", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return sleeping(monkeypatch)


def judge(url: str, key: str | None = KEY, pause: float = 0, role: str = "llm", **terms: object) -> Endpoint:
    return Endpoint(url, "m", key, role=role, pause=pause, terms=Terms(**terms))  # type: ignore[arg-type]


def complaint(kind: type[UserError], asked: Endpoint) -> str:
    with pytest.raises(UserError) as caught:
        asked.mark(["Right?"])
    assert type(caught.value) is kind
    told = str(caught.value)
    assert told.isprintable()
    assert KEY not in told
    return told


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(serve: Serve, status: int) -> None:
    other = serve(said("correct"))
    first = serve(Answer(status, headers={"Location": f"{other.url}/chat/completions"}))
    told = complaint(Unreachable, judge(first.url))
    assert f"redirects to {other.url}/chat/completions (HTTP {status}), and no redirect is followed" in told
    assert (len(first.asked), other.asked) == (1, [])


def test_a_redirect_that_goes_nowhere_is_told_too(serve: Serve) -> None:
    assert "redirects to an address it does not name (HTTP 304)" in complaint(Unreachable, judge(serve(Answer(304)).url))


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_an_error_never_quotes_the_key(serve: Serve, status: int) -> None:
    echo = Answer(status, f'{{"error": "wrong key {KEY}, Bearer {KEY}, {KEY.replace("-", "%2D")}"}}'.encode())
    with pytest.raises(UserError) as caught:
        judge(serve(echo).url).mark(["Right?"])
    assert "[key]" in str(caught.value)
    assert KEY not in str(caught.value)


def test_the_place_of_a_redirect_may_echo_the_key(serve: Serve) -> None:
    told = complaint(Unreachable, judge(serve(Answer(302, headers={"Location": f"http://a.b/?key={KEY}"})).url))
    assert "redirects to http://a.b/?key=[key] " in told


def test_a_reply_may_echo_the_key(serve: Serve) -> None:
    assert judge(serve(said(f"correct, {KEY}")).url).mark(["Right?"]) == ["correct, [key]"]
    assert judge(serve(said("8 1")).url, key="1").mark(["Right?"]) == ["8 1"]  # what any server takes is no secret


@pytest.mark.parametrize("key", ["two words-of-a-key", "line\nbreak-of-a-key", "schlüssel-of-a-key"])
def test_a_key_that_no_header_can_hold_is_not_quoted(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(JudgeError, match="OPENAI_API_KEY holds a blank") as caught:
        official.load("llm", source="http://localhost:1/v1#m")
    assert "of-a-key" not in str(caught.value)


def test_blanks_around_a_key_are_none_of_it(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(said("correct"))
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    official.load("llm", source="#m").mark(["Right?"])
    assert server.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("in_environment", "terms", "sent"),
    [
        ("", Terms(), None),
        ("", Terms(frozenset({"mllm"})), None),
        ("", Terms(frozenset({"llm"})), f"Bearer {KEY}"),
        ("same", Terms(), f"Bearer {KEY}"),
        ("other", Terms(), None),
    ],
)
def test_the_key_goes_only_where_the_user_names_the_address(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, in_environment: str, terms: Terms, sent: str | None
) -> None:
    server = serve(said("correct"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", {"": "", "same": f"{server.url}/", "other": "http://127.0.0.1:9/v1"}[in_environment])
    lines: list[str] = []
    official.load("llm", source=f"{server.url}#m").under(terms, lines.append).mark(["Right?"])
    assert server.keys == {sent}
    told = f"judge llm: OPENAI_API_KEY is not sent to {server.url}, because this command does not name that address"
    assert [line.partition(";")[0] for line in lines] == ([] if sent else [told])


def test_without_terms_an_address_that_is_not_in_the_environment_gets_no_key(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(said("correct"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    official.load("llm", source=f"{server.url}#m").mark(["Right?"])
    assert server.keys == {None}


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://localhost/v1", "localhost:8000/v1", "http://", "http://h:99999/v1",
                                     "http://h/v1?version=2", "http://h/v1\x1b[2J", "http://[::1/v1"])  # fmt: skip
def test_an_address_that_is_none_is_refused_before_it_is_asked(address: str) -> None:
    with pytest.raises(JudgeError, match="is no address of an endpoint") as caught:
        official.load("llm", source=f"{address}#m")
    assert str(caught.value).isprintable()


def test_an_address_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JudgeError, match="holds a user or password; give the key in OPENAI_API_KEY") as caught:
        official.load("llm", source="https://me:hunter2@example.org/v1#m")
    assert "hunter2" not in str(caught.value)


def test_a_reply_that_never_ends_is_not_read_to_its_end(serve: Serve) -> None:
    server = serve(Answer(body=b"x" * 65536, endless=True))
    assert "sends more than 8 MB in one reply" in complaint(UserError, judge(server.url))
    assert len(server.asked) == 1  # it would be as large again


def test_of_a_gigabyte_only_what_may_be_held_is_read(serve: Serve) -> None:
    server = serve(Answer(body=b" " * 65536, endless=True, size=10**9))
    assert "sends more than 8 MB in one reply; the rest was not read" in complaint(UserError, judge(server.url))
    assert server.written < 64_000_000  # what lay in the buffers of both sides


@pytest.mark.parametrize("status", [200, 500])
def test_a_reply_in_drips_ends_with_the_time(serve: Serve, status: int) -> None:
    begun = time.monotonic()
    told = complaint(UserError, judge(serve(Answer(status, said("correct").body, drip=0.1)).url, timeout=0.5))
    assert "gave no whole reply in 0.5 s; give more with --judge-timeout" in told
    assert time.monotonic() - begun < 8


def test_a_header_in_drips_ends_with_the_time() -> None:
    begun = time.monotonic()
    with dripping_header(0.1) as url:
        assert "gave no whole reply in 0.5 s" in complaint(UserError, judge(url, timeout=0.5))
    assert time.monotonic() - begun < 8


def test_a_header_without_an_end_is_not_kept(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TRIES", 1)
    long = Answer(headers={"X-Pad": "x" * 1_000_000})
    assert "Receive buffer too long" in complaint(Unreachable, judge(serve(long).url))


def test_the_third_silence_in_a_row_is_the_servers(serve: Serve) -> None:
    slow = Answer(200, said("correct").body, drip=1)
    asked = judge(serve(slow, said("correct"), slow).url, timeout=1)
    complaint(UserError, asked)
    assert asked.mark(["Right?"]) == ["correct"]
    complaint(UserError, asked)
    complaint(UserError, asked)
    assert "in 1 s to 3 requests in a row" in complaint(Unreachable, asked)


def test_a_server_is_given_the_pause_it_asks_for(serve: Serve, pauses: list[float]) -> None:
    lines: list[str] = []
    server = serve(refused(429, "slow down", Retry_After="20"), refused(503, "soon", Retry_After="0.5"), said("correct"))
    asked = Endpoint(server.url, "m", KEY, say=lines.append)
    assert asked.mark(["Right?"]) == ["correct"]
    assert pauses == [20.0, 2.0]
    assert lines == [f"judge llm: waiting 20 s, as {server.url}/chat/completions asks"]


def test_a_pause_that_is_too_long_ends_the_scoring(serve: Serve, pauses: list[float]) -> None:
    server = serve(refused(429, "quota used up", Retry_After="3600"))
    told = complaint(Unreachable, judge(server.url))
    assert "gave no reply in one try (HTTP 429 Too Many Requests: quota used up; it asks for a pause of 3,600 s)" in told
    assert (len(server.asked), pauses) == (1, [])


def test_a_request_is_sent_four_times_at_most(serve: Serve, pauses: list[float]) -> None:
    server = serve(refused(503, "busy"))
    assert "no reply in 4 tries (HTTP 503 Service Unavailable: busy)" in complaint(Unreachable, judge(server.url, pause=1))
    assert (len(server.asked), pauses) == (TRIES, [1, 2, 4])


def test_the_whole_reason_of_a_refusal_is_told_on_one_line(serve: Serve) -> None:
    reason = "This model's maximum context length is 4096 tokens.\n\nHowever, you requested 5000 tokens\x1b[2J in the messages."
    told = complaint(UserError, judge(serve(refused(400, reason)).url))
    assert "HTTP 400 Bad Request: This model's maximum context length is 4096 tokens. However, you requested 5000 tokens" in told
    assert told.endswith("[2J in the messages.")
    long = complaint(UserError, judge(serve(refused(400, "no " * 100_000)).url))
    assert 1_000 < len(long) < 1_200


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b'{"error": null}', b'{"choices": []}', b'{"choices": {"0": 1}}',
             b'{"choices": [{"message": "correct"}]}', b'{"choices": [{"message": null}]}', b"<html>login</html>"]
)  # fmt: skip
def test_what_is_no_chat_completion_is_no_reply(serve: Serve, body: bytes) -> None:
    assert "gave no reply in 4 tries" in complaint(Unreachable, judge(serve(Answer(200, body)).url))


@pytest.mark.parametrize("text", [None, "", " \n", "<think>So, the ball"])
def test_a_reply_without_words_is_none(serve: Serve, text: str | None) -> None:
    server = serve(said(text))
    assert "replied without a text in 4 tries" in complaint(UserError, judge(server.url))
    assert len(server.asked) == TRIES


def test_a_reply_that_ran_out_of_tokens_is_not_asked_for_again(serve: Serve) -> None:
    cut = b'{"choices": [{"message": {"content": null, "reasoning": "So,"}, "finish_reason": "length"}]}'
    server = serve(Answer(200, cut))
    assert "ran out of tokens; allow more, as in --judge-args llm.max_tokens=8192" in complaint(UserError, judge(server.url))
    assert len(server.asked) == 1


def test_a_model_that_refuses_is_quoted(serve: Serve) -> None:
    assert "(refusal: I cannot help)" in complaint(UserError, judge(serve(said(None, refusal="I cannot help")).url))


REASONING = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."


def test_settings_that_a_server_refuses_are_switched_off_by_name(serve: Serve) -> None:
    def reasoning(asked: Asked, before: int) -> Answer:
        if "max_tokens" in asked.body:
            return refused(400, REASONING)
        if "temperature" in asked.body:
            return refused(400, "Unsupported value: 'temperature' does not support 0.2 with this model.")
        return said("8 7")

    server = serve(reasoning)
    with pytest.raises(UserError) as caught:
        judge(server.url).review("", ["x"])
    assert str(caught.value).endswith(
        f"{REASONING}; leave it to the server with --judge-args llm.max_tokens=null, or give llm.max_completion_tokens=N as well"
    )
    with pytest.raises(UserError, match=r"with --judge-args llm.temperature=null$"):
        judge(server.url, arguments={"llm": {"max_tokens": None}}).review("", ["x"])
    given = {"llm": {"max_tokens": None, "temperature": None, "max_completion_tokens": 4096}, "mllm": {"seed": 1}}
    assert judge(server.url, arguments=given).review("", ["x"]) == ["8 7"]
    assert sorted(server.asked[-1].body) == ["max_completion_tokens", "messages", "model"]
    assert server.asked[-1].body["max_completion_tokens"] == 4096


def test_other_settings_are_another_judge() -> None:
    plain, other = judge("http://h/v1"), judge("http://h/v1", arguments={"llm": {"seed": 1}})
    assert plain.fingerprint == Endpoint("http://h/v1", "m", None).fingerprint != other.fingerprint


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>Hm.</think>\n\n8 7"},
        {"content": "8 7", "reasoning_content": "Hm."},
        {"content": "8 7", "reasoning": "Hm."},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "8 7"}]},
    ],
)
def test_what_a_model_thought_stands_before_what_it_said(serve: Serve, message: dict[str, object]) -> None:
    from suder_bench.evaluators.answers import thoughts

    [reply] = judge(serve(said(None, **message)).url).mark(["Right?"])
    assert thoughts.split(reply) == ("Hm.", "8 7")


def test_a_proxy_that_does_not_answer_is_named(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(said("correct"))
    monkeypatch.setenv("http_proxy", "http://me:hunter2@127.0.0.1:9")
    told = complaint(Unreachable, judge(server.url))
    assert "(through the proxy http://127.0.0.1:9 of http_proxy; set no_proxy=127.0.0.1 to go without)" in told
    assert "hunter2" not in told
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert judge(server.url).mark(["Right?"]) == ["correct"]


@pytest.mark.parametrize("status", [403, 407, 503])
def test_a_proxy_that_refuses_is_named(serve: Serve, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    proxy = serve(Answer(status, b"denied"))
    monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
    assert f"(through the proxy {proxy.url.removesuffix('/v1')} of http_proxy" in complaint(Unreachable, judge("http://h/v1"))


def test_a_refusal_behind_a_proxy_is_not_blamed_on_it(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", serve(refused(400, "too long")).url.removesuffix("/v1"))
    assert "proxy" not in complaint(UserError, judge("http://h/v1"))


def test_a_kind_of_proxy_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "gopher://127.0.0.1:9")
    assert "gopher" in complaint(Unreachable, judge("http://h/v1"))


def test_a_closed_port_is_told_as_such() -> None:
    assert "failed (Connect call failed ('127.0.0.1', 9))" in complaint(Unreachable, judge("http://127.0.0.1:9/v1"))


def test_a_reply_is_read_inside_a_running_event_loop(serve: Serve) -> None:
    import asyncio

    server = serve(able)

    async def notebook() -> Sequence[str]:
        return judge(server.url).review("", ["x"])

    assert asyncio.run(notebook()) == ["8 4\nThe second says less."]


def test_a_compressed_reply_cannot_unfold_in_memory(serve: Serve) -> None:
    import gzip

    bomb = gzip.compress(b" " * 50_000_000)
    server = serve(Answer(200, bomb, {"Content-Encoding": "gzip"}))
    assert "no JSON" in complaint(Unreachable, judge(server.url))
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_half_a_character_in_a_reply_can_be_written_down(serve: Serve, tmp_path: Path) -> None:
    half = Answer(200, rb'{"choices": [{"message": {"content": "8 7\n\ud83d"}}]}')
    [reply] = judge(serve(half).url).mark(["Right?"])
    (tmp_path / "page.html").write_text(reply, encoding="utf-8")
    assert reply == "8 7\n?"


def test_a_post_says_what_came_whatever_the_status(serve: Serve) -> None:
    server = serve(Answer(418, b"short and stout", {"X-Pot": "tea"}))

    def post(most_bytes: int) -> exchange.Reply:
        limits = {"seconds": 5, "most_bytes": most_bytes, "through": exchange.Connections(1)}
        return anyio.run(partial(exchange.exchange, "POST", server.url, b"{}", {}, **limits))

    reply = post(100)
    assert (reply.status, reply.body, reply.headers["x-pot"]) == (418, b"short and stout", "tea")
    with pytest.raises(exchange.TooLargeError):
        post(14)


def test_several_requests_are_under_way_at_once_and_replies_keep_their_order(serve: Serve) -> None:
    under_way = UnderWay()

    def slow(asked: Asked, before: int) -> Answer:
        with under_way:
            time.sleep(0.02 * (12 - int(asked.prompt)))  # the last one is answered first
        return said(asked.prompt)

    prompts = [str(i) for i in range(12)]
    assert judge(serve(slow).url).mark(prompts) == prompts
    assert under_way.most == AT_ONCE


def test_equal_requests_are_judged_each_for_itself(serve: Serve) -> None:
    server = serve(lambda asked, before: said(str(before)))
    assert sorted(judge(server.url).mark(["Right?"] * 3)) == ["0", "1", "2"]


def test_a_batch_in_which_one_request_fails_is_not_asked_for_again(serve: Serve) -> None:
    server = serve(lambda asked, before: refused(400, "Not this one") if asked.prompt == "1" else said(f"{asked.prompt}!"))
    asked = judge(server.url)
    for prompts in (["0", "1", "2", "3"], ["0", "1"], ["1"]):
        with pytest.raises(UserError, match="Not this one"):
            asked.mark(prompts)
    assert (asked.mark(["0"]), asked.mark(["2", "3"])) == (["0!"], ["2!", "3!"])
    assert sorted(one.prompt for one in server.asked) == ["0", "1", "2", "3"]


def test_once_the_server_refuses_all_the_rest_is_not_sent(serve: Serve) -> None:
    server = serve(refused(401, "no such key"))
    with pytest.raises(Unreachable, match="check address, model and key"):
        judge(server.url).mark([str(i) for i in range(12)])
    assert len(server.asked) <= AT_ONCE


RED = Image.new("RGB", (8, 8), "red")


def likely(tokens: Sequence[tuple[str, float]], **choice: object) -> Answer:
    """A completion of one token, with the probabilities of the likeliest."""
    top = [{"token": token, "logprob": math.log(p) if p else -9999.0, "bytes": None} for token, p in tokens]
    content = [{"token": tokens[0][0], "logprob": -0.1, "top_logprobs": top}]
    said = {
        "message": {"role": "assistant", "content": tokens[0][0]},
        "finish_reason": "length",
        "logprobs": {"content": content},
    }
    return Answer(body=json.dumps({"choices": [{**said, **choice}]}).encode())


def test_first_tokens_are_those_that_a_server_tells(serve: Serve) -> None:
    server = serve(likely([("Yes", 0.5), ("yes", 0.25), ("No", 0.125), ("7", 0.0), ("Yes", 0.0625)]), likely([("", 0.5)]))
    asked = judge(server.url, role="mllm")
    spellings = [("Yes", "yes", " Yes", "Y"), ("two", "")]
    found = [asked.first_tokens([RED], [question], [own])[0] for question, own in zip(("Red?", "Two?"), spellings, strict=True)]
    assert found == [[pytest.approx(0.5625), pytest.approx(0.25), 0, 0], [0, pytest.approx(0.5)]]
    assert not asked.whole_vocabulary
    assert asked.shared(["Yes", "yes", "Yes"]) == [0, 1, 0]
    body = server.asked[0].body
    assert {name: body[name] for name in ("temperature", "max_tokens", "logprobs", "top_logprobs")} == {
        "temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20,
    }  # fmt: skip
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url", "text"]


@pytest.mark.parametrize("told", [None, {}, {"content": []}, {"content": None}, {"content": [{}]},
                                  {"content": [{"top_logprobs": [{"token": "Yes"}]}]},
                                  {"content": [{"top_logprobs": [{"token": "Yes", "logprob": 5}]}]}])  # fmt: skip
def test_a_server_that_tells_no_log_probabilities_ends_the_scoring(serve: Serve, told: object) -> None:
    server = serve(likely([("Yes", 1.0)], logprobs=told))
    with pytest.raises(Unreachable, match=r"no log-probabilities .* ask another server, or judge in this process with --judge"):
        judge(server.url).first_tokens([RED] * 9, ["Red?"] * 9, [["Yes"]] * 9)
    assert len(server.asked) <= AT_ONCE


def test_a_conversation_is_sent_turn_by_turn(serve: Serve) -> None:
    server = serve(said("[1, 0.5]"))
    talk = Talk(RED, ("Describe it.", "It is red.", "Is it?"), system="You judge.", picture_last=True)
    assert judge(server.url).reply([talk], max_tokens=77) == ["[1, 0.5]"]
    body = server.asked[0].body
    assert [one["role"] for one in body["messages"]] == ["system", "user", "assistant", "user"]
    assert [part["type"] for part in body["messages"][1]["content"]] == ["text", "image_url"]
    assert (body["messages"][2]["content"], body["max_tokens"], body["temperature"]) == ("It is red.", 77, 0)


def test_connections_are_kept_and_cookies_are_not(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_server._Handler, "protocol_version", "HTTP/1.1")
    server = serve(replace(said("correct"), headers={"Set-Cookie": "session=1; Path=/"}))
    asked = judge(server.url)
    for i in range(4):
        asked.mark([f"{i}.{j}" for j in range(AT_ONCE)])
    assert len(server.asked) == 4 * AT_ONCE
    assert len({one.port for one in server.asked}) <= AT_ONCE
    assert not [one for one in server.asked if "cookie" in one.headers]


def test_threads_share_the_limit_of_requests_under_way(serve: Serve) -> None:
    under_way = UnderWay()

    def slow(asked: Asked, before: int) -> Answer:
        with under_way:
            time.sleep(0.05)
        return said(asked.prompt)

    asked = judge(serve(slow).url)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda i: asked.mark([f"{i}a", f"{i}b"]), range(6)))
    assert found == [[f"{i}a", f"{i}b"] for i in range(6)]
    assert under_way.most == AT_ONCE
