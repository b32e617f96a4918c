"""What a run says: lines always, the bar on a terminal only."""

from __future__ import annotations

import io

import pytest

from suder_bench.runs.screen import Screen, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_shows_count_rate_and_time_left_on_a_terminal() -> None:
    screen = Screen(Terminal())
    with screen.bar("pope", 1200) as bar:
        bar.advance(1000)
        bar.advance(200)
    assert "pope  1,200/1,200" in screen.stream.getvalue()  # type: ignore[attr-defined]
    assert "/s  0:00 left" in screen.stream.getvalue()  # type: ignore[attr-defined]


def test_elsewhere_only_lines_are_written() -> None:
    screen = Screen(io.StringIO())
    with screen.bar("pope", 2) as bar:
        bar.advance(2)
    screen.say("done")
    assert screen.stream.getvalue() == "done\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00"), (42, "0:42"), (185, "3:05"), (7807, "2:10:07")])
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
