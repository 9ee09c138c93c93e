"""Processes side by side: each starts when all that it needs have succeeded.

One that fails keeps those that need it from starting, and no others.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from graphlib import TopologicalSorter
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Protocol

import psutil

from reformer_seqlen.runtime.console import Terminated

STOP_SECONDS = (10.0, 25.0, 5.0)
"""How long interrupted processes may take to end: by themselves, told once more, terminated.

Ctrl-C reaches all of them, and a training writes a checkpoint then.
"""
TICK_SECONDS = 1.0
"""How often a display that shows passing time is told to."""


class Display(Protocol):
    """What is told of everything that happens."""

    def begin(self, name: str) -> None:
        """A process has started."""

    def said(self, name: str, line: str) -> None:
        """A process has printed a line."""

    def end(self, name: str) -> None:
        """A process has ended."""

    def tick(self) -> None:
        """Nothing has happened for `TICK_SECONDS`."""


Said = SimpleQueue[tuple[str, str | None]]
"""Lines and who printed them; None is the end of a process."""


def run_all(
    needs: Mapping[str, Collection[str]],
    command: Callable[[str], Sequence[str]],
    jobs: int,
    seconds: Callable[[str], float],
    display: Display,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Run a command for each name, several at a time; return the names of those that failed.

    Args:
        needs: the names that have to succeed before each.
        command: of a name.
        jobs: how many run at a time, at most.
        seconds: how long a name is expected to take; those with the longest way to the end go
            first.
        display: is told of everything that happens.
        environment: of the processes; this process's own by default.
    """
    order = TopologicalSorter(needs)
    order.prepare()
    way = longest_ways(needs, seconds)
    ready: list[str] = []
    running: dict[str, subprocess.Popen[str]] = {}
    failed: list[str] = []
    said = Said()
    try:
        while True:
            ready = sorted([*ready, *order.get_ready()], key=way.__getitem__)
            while ready and len(running) < jobs:
                name = ready.pop()
                running[name] = _start(name, command(name), environment, said)
                display.begin(name)
            if not running:
                return failed
            try:
                name, line = said.get(timeout=TICK_SECONDS)
            except Empty:
                display.tick()
                continue
            if line is not None:
                display.said(name, line)
                continue
            display.end(name)
            if running.pop(name).wait():
                failed.append(name)
            else:
                order.done(name)
    except BaseException as error:
        end(running.values(), patience_at(error))
        raise


def longest_ways(
    needs: Mapping[str, Collection[str]], seconds: Callable[[str], float]
) -> dict[str, float]:
    """For each name, the seconds from its start to the end of the last one that waits for it."""
    ways = {name: seconds(name) for name in needs}
    for name in reversed(list(TopologicalSorter(needs).static_order())):
        for needed in needs[name]:
            ways[needed] = max(ways[needed], seconds(needed) + ways[name])
    return ways


def _start(
    name: str, command: Sequence[str], environment: Mapping[str, str] | None, said: Said
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    )

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                said.put((name, line.rstrip("\n")))
        said.put((name, None))

    Thread(target=listen, daemon=True).start()
    return process


def patience_at(error: BaseException) -> tuple[float, float, float]:
    """`STOP_SECONDS`, but SIGTERM reached nobody else: the others are told at once."""
    first, *others = STOP_SECONDS
    return (0.0 if isinstance(error, Terminated) else first, others[0], others[1])


def end(
    processes: Iterable[subprocess.Popen[str]],
    patience: tuple[float, float, float] = STOP_SECONDS,
) -> None:
    """Wait for interrupted processes; what stays is interrupted again, and then terminated.

    A process that is just starting may lose Ctrl-C, and DVC ignores it while its stage runs: the
    stage would run to its end, and the next ones after it.
    """
    left = list(processes)
    for seconds, told in zip(patience, (signal.SIGINT, signal.SIGTERM, None), strict=True):
        until = time.monotonic() + seconds
        for process in left:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
        left = [process for process in left if process.poll() is None]
        for process in left:
            if told is not None:
                _tell(process.pid, told)


def _tell(parent_id: int, told: signal.Signals) -> None:
    """Send a signal to a process's children, and to itself if it has none or has to go too."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(parent_id)
        children = parent.children(recursive=True)
        for process in children if children and told == signal.SIGINT else [parent, *children]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(told)
