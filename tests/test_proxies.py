"""An error names the proxy that stands before an address, and nothing of how one logs in there."""

from __future__ import annotations

import pytest

from suder_bench.proxies import through_proxy

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
