"""Progress: a bar on a terminal, and where there is none, as in a log file, a line a minute."""

import io
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINE_SECONDS = 60.0
"""From one line to the next, where there is no terminal."""


class Lines(io.StringIO):
    """What a bar that is drawn over itself is written to: each time it is a line of stderr."""

    def write(self, text: str) -> int:
        """Print what a bar shows, without what moves the cursor."""
        if shown := text.strip():
            print(shown, file=sys.stderr, flush=True)
        return len(text)


class _Bar(tqdm):  # type: ignore[misc]
    """Without the thread that looks after slow bars: a process that forks should have none."""

    monitor_interval = 0

    def refresh(self, *arguments: Any, **named: Any) -> None:
        """Draw it, but not before its delay, as `reset` would."""
        if not self.delay or self._time() >= self.start_t + self.delay:
            super().refresh(*arguments, **named)


def display() -> dict[str, Any]:
    """How tqdm is to show a bar."""
    if sys.stderr.isatty():
        return {}
    seldom = {"mininterval": LINE_SECONDS, "delay": LINE_SECONDS, "miniters": 1}
    return {"file": Lines(), "ascii": True, "ncols": 0, **seldom}


def over(items: Iterable[T], what: str, unit: str, total: int | None = None) -> "tqdm[T]":
    """The items, with a bar that counts them; it is gone when they are."""
    return _Bar(items, desc=what, unit=unit, total=total, leave=False, **display())


def of_bytes(what: str, total: int | None) -> "tqdm[None]":
    """A bar to be told how many bytes are done."""
    units = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
    return _Bar(desc=what, total=total, **units, **display())


def duration(seconds: float) -> str:
    """Seconds in the two largest of days, hours, minutes and seconds.

    Example: 7384 seconds are "2 h 03 min".
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
