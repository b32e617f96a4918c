"""What a run says: lines always, the bar on a terminal only."""

from __future__ import annotations

import io

import pytest

from suder_bench.runs.screen import Bar, Screen, duration


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


def test_a_log_file_gets_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten samples of twenty seconds each: three lines, and none about what has just ended."""
    now = [100.0]
    monkeypatch.setattr("suder_bench.runs.screen.time.perf_counter", lambda: now[0])
    screen = Screen(io.StringIO())
    bar = Bar("geneval draws", 10, screen, started=100.0)
    for _ in range(10):
        now[0] += 20
        bar.advance(1)
    assert screen.stream.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "geneval draws  3/10  0.1/s  2:20 left",
        "geneval draws  6/10  0.1/s  1:20 left",
        "geneval draws  9/10  0.1/s  0:20 left",
    ]


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00"), (42, "0:42"), (185, "3:05"), (7807, "2:10:07")])
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
