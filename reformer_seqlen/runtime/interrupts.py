"""SIGINT and SIGTERM while work goes on that can end well: noted, for the work to look at."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from reformer_seqlen.runtime.console import STDERR, Terminated
from reformer_seqlen.runtime.ranks import is_first

NOTE = "interrupted: writing a checkpoint at the end of this update; once more ends it at once\n"
KINDS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


class Interrupts:
    """Notes the first signal of a block, and raises at the next one.

    Attributes:
        asked: what to end with; None while nobody has asked for it.
    """

    def __init__(self) -> None:
        self.asked: KeyboardInterrupt | None = None
        self._at_once = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals within the block. Those that the process ignores stay ignored."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {number: signal.getsignal(number) for number in KINDS}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise at the first signal, too: within the block there is nothing to lose."""
        self.raise_if_asked()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def raise_if_asked(self) -> None:
        """End the work if a signal has asked for it."""
        if self.asked is not None:
            raise self.asked

    @property
    def number(self) -> int:
        """The signal that has asked for the end; 0 while none has."""
        return next((number for number, kind in KINDS.items() if type(self.asked) is kind), 0)

    def ask(self, number: int) -> None:
        """Take a signal that has reached another process for one that has reached this one."""
        if number and self.asked is None:
            self.asked = KINDS[number]()

    def _note(self, number: int, _: FrameType | None) -> None:
        again = self.asked is not None
        self.ask(number)
        if not again and is_first():
            os.write(STDERR, NOTE.encode())  # not print, which may be what was interrupted
        if again or self._at_once:
            self.raise_if_asked()


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Raise at SIGTERM within the block, as Python does at Ctrl-C, so that others are told."""

    def end(number: int, _: FrameType | None) -> None:
        raise KINDS[number]

    before: Any = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
