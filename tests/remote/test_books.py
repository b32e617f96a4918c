"""The books of judges behind an address: what is kept, what is counted, and when a budget ends."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suder_bench.errors import DiskError, UserError
from suder_bench.remote import books, chat, loop
from suder_bench.remote.books import Books, BudgetError
from suder_bench.remote.client import Request
from suder_bench.remote.exchange import Reply
from suder_bench.runs.jsonl import Ledger
from suder_bench.terms import Budget, Price


def completion(tokens: tuple[Any, Any] | None = (100, 10), **more: object) -> Reply:
    told = {} if tokens is None else {"usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}}
    return Reply(200, "OK", {}, json.dumps({"choices": [], **told, **more}).encode())


def send(kept: Books, reply: Reply | None, about: str = "a/1/0", key: str = "k", came: str = books.SOUND, most: int = 50) -> None:
    async def once() -> None:
        request = Request("/x", b"{}", f"{about}#0", key, (most, most))
        async with kept.sending("llm", request, about, lambda body: came, lambda text: text.replace("sk-1", "[key]")) as settle:
            settle(reply)

    loop.run(once)


def test_a_reply_is_kept_for_the_next_command_without_the_key(tmp_path: Path) -> None:
    send(Books(Ledger(tmp_path)), completion(said="you sent sk-1 and \x00"))
    found = Books(Ledger(tmp_path)).known("k")
    assert found is not None
    assert json.loads(found)["said"] == "you sent [key] and \x00"
    assert "sk-1" not in (tmp_path / "0.jsonl").read_text()


def test_asked_anew_no_reply_of_before_is_used_and_all_are_counted(tmp_path: Path) -> None:
    send(Books(Ledger(tmp_path)), completion(said="first"))
    anew = Books(Ledger(tmp_path), anew=True)
    assert anew.known("k") is None
    send(anew, completion(said="second"))
    for kept in (anew, Books(Ledger(tmp_path))):
        assert b"second" in (kept.known("k") or b"")
        assert kept.totals()["llm"]["requests"] == 2


def test_known_answers_and_what_holds_no_text_are_counted_and_not_kept(tmp_path: Path) -> None:
    kept = Books(Ledger(tmp_path))
    send(kept, completion(), about="")
    send(kept, completion(), key="other", came=books.REFUSED)
    assert (kept.known("k"), kept.known("other")) == (None, None)
    assert kept.totals()["llm"] == {
        "requests": 2, "input_tokens": 200, "output_tokens": 20, "estimated": 0,
        "refused": 1, "without_text": 0, "late": 0, "unread": 0,
    }  # fmt: skip
    assert Books(Ledger(tmp_path)).totals() == kept.totals()


@pytest.mark.parametrize("tokens", [None, (-1, 3), (1e300, 3), ("9", 3), (True, 3), (10**12, 3)])
def test_a_server_that_tells_no_tokens_is_estimated(tokens: tuple[Any, Any] | None) -> None:
    kept = Books()
    send(kept, completion(tokens))
    found = kept.totals()["llm"]
    assert (found["input_tokens"], found["estimated"]) == (50, 1)
    assert 0 < found["output_tokens"] <= 50  # no more than its bytes, or than it may


def test_what_is_refused_with_a_status_costs_nothing_and_is_counted() -> None:
    kept = Books(prices={"llm": Price(1, 1)})
    send(kept, Reply(400, "Bad Request", {}, b'{"error": {"code": "content_policy_violation"}}'))
    send(kept, Reply(503, "Busy", {}, b""))
    found = kept.totals()["llm"]
    assert (found["requests"], found["refused"], found["cost"]) == (1, 1, 0)


def test_replies_that_could_not_be_read_are_forgotten(tmp_path: Path) -> None:
    kept = Books(Ledger(tmp_path))
    send(kept, completion(), key="a")
    send(kept, completion(), key="b")
    kept.given("a/1/0", ["a", "b"])
    kept.given("a/1/0", [])  # it could not be asked to its end, and so was not read
    kept.forget("a/1/0")
    assert kept.known("a") is not None
    kept.given("a/1/0", ["a", "b"])
    kept.forget("a/1/0")
    send(kept, completion(), key="b")
    for found in (kept, Books(Ledger(tmp_path))):
        assert (found.known("a"), found.known("b") is None, found.totals()["llm"]["unread"]) == (None, False, 2)


def test_a_price_is_needed_for_a_budget_of_money() -> None:
    Books(budget=Budget(5, money=False)).admit("llm")
    Books(budget=Budget(5, money=True), prices={"llm": Price(1, 2)}).admit("llm")
    with pytest.raises(UserError, match="the price of judge mllm is not known; give --judge-price mllm=INPUT/OUTPUT"):
        Books(budget=Budget(5, money=True), prices={"llm": Price(1, 2)}).admit("mllm")


@settings(deadline=None, derandomize=True)
@given(amount=st.integers(0, 3000), replies=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=30))
def test_no_budget_is_overrun_however_many_are_under_way(amount: int, replies: list[tuple[int, int]]) -> None:
    """Each may take 200, and takes what the reply says."""
    kept, refused = Books(budget=Budget(amount, money=False)), []

    async def once(tokens: tuple[int, int]) -> None:
        request = Request("/x", b"{}", "a/1/0#0", "k", (100, 100))
        try:
            async with kept.sending("llm", request, "a/1/0", lambda body: books.SOUND, str) as settle:
                await anyio.lowlevel.checkpoint()
                settle(completion(tokens))
        except BudgetError as error:
            refused.append(error)

    async def together() -> None:
        async with anyio.create_task_group() as group:
            for tokens in replies:
                group.start_soon(once, tokens)

    loop.run(together)
    found = kept.totals().get("llm", {"requests": 0, "input_tokens": 0, "output_tokens": 0})
    spent = found["input_tokens"] + found["output_tokens"]
    assert spent <= amount
    assert found["requests"] + len(refused) == len(replies)
    assert not refused or spent + 200 > amount  # none was refused that had room


def test_giving_up_ends_what_other_threads_wait_for() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def for_ever() -> None:
        begun.set()
        await anyio.sleep_forever()

    def wait() -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever a thread is told
            loop.run(for_ever)
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    assert begun.wait(20)
    loop.give_up()
    assert ended.wait(20)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"usage": 3}', b'{"usage": {}}', b'{"usage": null}'])
def test_usage_that_is_none_is_none(body: bytes) -> None:
    assert chat.usage(body) is None


def test_a_disk_that_refuses_ends_only_what_must_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = Books(Ledger(tmp_path / "file" / "replies"), must_keep=False)
    send(kept, completion())
    assert kept.known("k") is not None
    with pytest.raises(DiskError):
        send(Books(Ledger(tmp_path / "file" / "replies")), completion())
