"""A Chromium that opens pages, and notes what they say on the console and what they ask for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

LEFT = "net::ERR_ABORTED"
"""What becomes of a picture that is on its way when its page is reloaded or left."""


@dataclass
class Tab:
    """An open page; `complaints` are the console's errors and warnings, `requests` the addresses asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]

    def failed(self, request: Any) -> None:
        if request.failure != LEFT:
            self.complaints.append(f"{request.url}: {request.failure}")

    def status(self, wanted: str) -> None:
        """Wait until the gallery says how many items it shows."""
        self.shows(".status", wanted)

    def shows(self, selector: str, text: str) -> None:
        """Wait until there is such an element with the text in it.

        Not Playwright's `wait_for_function`: it evaluates a string each time it looks, which the pages' Content Security
        Policy forbids, so it fails wherever the first look comes too early.
        """
        self.page.locator(selector, has_text=text).first.wait_for()


@contextmanager
def chromium() -> Iterator[Any]:
    """Skips the test where there is no browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install -c constraints.txt '.[dev]')")
    if CHROMIUM is None:
        pytest.skip("needs a Chromium (apt-get install chromium)")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def tab(browser: Any, address: str, before: str = "", **context: Any) -> Iterator[Tab]:
    """A page of its own, which runs the script `before` its own ones; at its end nothing may have been complained of."""
    opened = browser.new_context(**context)
    one = Tab(opened.new_page())
    one.page.on("console", lambda said: one.complaints.append(said.text) if said.type in ("error", "warning") else None)
    one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
    one.page.on("request", lambda request: one.requests.append(request.url))
    one.page.on("requestfailed", one.failed)
    one.page.add_init_script(before)
    one.page.goto(address)
    one.page.wait_for_selector("h1")
    yield one
    opened.close()
    assert one.complaints == []
