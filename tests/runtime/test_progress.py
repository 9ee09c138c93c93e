"""How progress is told."""

import sys
import time

import pytest

from reformer_seqlen.runtime import progress
from reformer_seqlen.runtime.progress import duration


@pytest.mark.parametrize(
    ("value", "said"),
    [(7.2, "7 s"), (184, "3 min 04 s"), (7384, "2 h 03 min"), (90000, "1 d 01 h")],
)
def test_durations_are_readable(value: float, said: str) -> None:
    assert duration(value) == said


def test_a_log_file_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.05)
    for _ in progress.over(range(4), "validation", "batch"):
        time.sleep(0.06)
    lines = capsys.readouterr().err.splitlines()
    assert [line[:20] for line in lines] == [
        f"validation:  {done}% {done // 25}/4" for done in (25, 50, 75)
    ] + ["validation: 100% 4/4"]


def test_what_takes_less_than_a_minute_says_nothing_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in progress.over(range(4), "validation", "batch"):
        pass
    with progress.of_bytes("text", None) as bar:
        bar.reset(total=10)
        bar.update(10)
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert progress.display() == {}
