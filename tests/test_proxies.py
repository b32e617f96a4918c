"""An error names the proxy that stands before an address, and nothing of how one logs in there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from suder_bench.errors import UserError
from suder_bench.models import hub
from suder_bench.proxies import before_the_hub, through_proxy

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_a_proxy_nothing_is_said() -> None:
    assert through_proxy("https://example.org/v1") == ""


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY"])
def test_the_proxy_of_the_scheme_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "http://me:secret@proxy.local:3128")
    assert through_proxy("https://example.org:8443/v1") == (
        f" (through the proxy http://proxy.local:3128 of {variable}; set no_proxy=example.org to go without)"
    )
    assert through_proxy("http://example.org/v1") == ""


@pytest.mark.parametrize("exempt", ["example.org", "*", ".org", "other, example.org:8000"])
def test_addresses_that_no_proxy_exempts_have_none(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    monkeypatch.setenv("http_proxy", "proxy.local:3128")
    assert "proxy.local:3128 of http_proxy" in through_proxy("http://example.org:8000/v1")
    monkeypatch.setenv("no_proxy", exempt)
    assert through_proxy("http://example.org:8000/v1") == ""


def test_all_proxy_counts_only_for_clients_that_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://me:secret@proxy.local:1080")
    assert through_proxy("http://example.org/") == ""
    assert "socks5://proxy.local:1080 of all_proxy" in through_proxy("http://example.org/", honours_all=True)


class HubError(Exception):
    def __init__(self, status: int | None) -> None:
        super().__init__("no connection")
        self.response = None if status is None else SimpleNamespace(status_code=status)


@pytest.mark.parametrize(("status", "named"), [(None, True), (502, True), (407, True), (404, False), (401, False)])
def test_an_error_of_the_hub_names_the_proxy_unless_the_hub_itself_answered(
    monkeypatch: pytest.MonkeyPatch, status: int | None, named: bool
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert before_the_hub(HubError(status)) == ""
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy.local:3128")
    told = before_the_hub(HubError(status))
    assert told == (
        " (through the proxy http://proxy.local:3128 of https_proxy; set no_proxy=huggingface.co to go without)" * named
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert before_the_hub(HubError(status)) == ""


def test_a_model_that_the_hub_cannot_give_is_told_with_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise HubError(None)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.local:3128")
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(UserError, match=r"could be fetched: no connection \(through the proxy http://proxy\.local:3128"):
        hub.folder_of("somebody/something")
