"""Pins how long work is told: a bar on a terminal, plain lines elsewhere, on one host."""

import io
import logging
import sys

import pytest

from dtgan import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_tell_share_rate_and_time_left(capsys):
    times = iter([0.0, 5.0, 20.0, 25.0, 40.0])
    with progress.track("drawing", 4000, "images", clock=lambda: next(times)) as done:
        for _ in range(4):
            done(1000)
    (line,) = capsys.readouterr().err.splitlines()  # the second: SECONDS apart, none at the end
    assert line.endswith("drawing: 2000 of 4000 images (50 %), 100 images/s, 0:20 to go")


def test_a_terminal_shows_a_bar_and_log_lines_above_it(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    log = logging.getLogger("dtgan")
    monkeypatch.setattr(log, "handlers", [logging.StreamHandler(terminal)])
    for letter in progress.each("abcd", "reading", "files"):
        log.warning("found %s", letter)
    assert "reading:   0%" in terminal.getvalue() and "0/4" in terminal.getvalue()
    assert "found d\n" in terminal.getvalue()


def test_processes_but_the_first_say_nothing(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger("dtgan"), "level", logging.ERROR)
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    assert list(progress.each(range(3), "reading", "files")) == [0, 1, 2]
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01")]
)
def test_times_are_read_as_clocks(seconds, text):
    assert progress.clock_text(seconds) == text
