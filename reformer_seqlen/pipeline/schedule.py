"""What needs what, side by side: each starts when all that it needs have succeeded.

One that fails keeps those that need it from starting, and no others. What starts them is an engine:
processes of this machine (`processes`), tasks of Ray, jobs of Slurm.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Protocol

TICK_SECONDS = 1.0
"""How often a display that shows passing time is told to."""


@dataclass(frozen=True)
class Begun:
    """What was given to an engine runs now."""

    name: str


@dataclass(frozen=True)
class Said:
    """It has printed a line."""

    name: str
    line: str


@dataclass(frozen=True)
class Ended:
    """It has ended, with an exit status; None if it never ran, since what it needs failed."""

    name: str
    status: int | None


Event = Begun | Said | Ended


class Engine(Protocol):
    """What runs things, by their names.

    Attributes:
        at_once: how many run at a time, at most.
        holds_back: it waits itself for what a thing needs, so that it is given all of them at once.
    """

    at_once: int
    holds_back: bool

    def start(self, name: str) -> None:
        """Run a thing as soon as there is a place for it."""

    def events(self, seconds: float) -> Iterable[Event]:
        """What has happened since the last call, in order; waits at most so long for the first."""

    def stop(self, error: BaseException) -> None:
        """End what runs, and what waits for a place never runs: of an error, such as Ctrl-C."""


class Display(Protocol):
    """What is told of everything that happens."""

    def begin(self, name: str) -> None:
        """One has started."""

    def said(self, name: str, line: str) -> None:
        """One has printed a line."""

    def end(self, name: str) -> None:
        """One has ended."""

    def tick(self) -> None:
        """Some of `TICK_SECONDS` have passed."""


def run_all(
    needs: Mapping[str, Collection[str]],
    engine: Engine,
    seconds: Callable[[str], float],
    display: Display,
) -> list[str]:
    """Run everything; return the names of those that failed.

    Args:
        needs: the names that have to succeed before each.
        engine: runs them.
        seconds: how long a name is expected to take; those with the longest way to the end go
            first.
        display: is told of everything that happens.
    """
    waiting = Waiting(needs, longest_ways(needs, seconds))
    try:
        return _run(waiting, engine, display)
    except BaseException as error:
        engine.stop(error)
        raise


def _run(waiting: "Waiting", engine: Engine, display: Display) -> list[str]:
    running: set[str] = set()
    failed: list[str] = []
    ticked = time.monotonic()
    while True:
        while (engine.holds_back or len(running) < engine.at_once) and (name := waiting.next()):
            engine.start(name)
            running.add(name)
            if engine.holds_back:
                waiting.done(name)
        if not running:
            return failed
        for event in engine.events(TICK_SECONDS):
            _tell(display, event)
            if isinstance(event, Ended):
                running.remove(event.name)
                if event.status:
                    failed.append(event.name)
                elif not engine.holds_back:
                    waiting.done(event.name)
        if time.monotonic() - ticked >= TICK_SECONDS:
            display.tick()
            ticked = time.monotonic()


def _tell(display: Display, event: Event) -> None:
    match event:
        case Begun(name):
            display.begin(name)
        case Said(name, line):
            display.said(name, line)
        case Ended(name):
            display.end(name)


class Waiting:
    """What has not started yet.

    Args:
        needs: the names that have to be done before each.
        way: the seconds from the start of each to the end of all.
    """

    def __init__(self, needs: Mapping[str, Collection[str]], way: Mapping[str, float]) -> None:
        self.order, self.way = TopologicalSorter(needs), way
        self.order.prepare()
        self.ready: list[str] = []

    def next(self) -> str | None:
        """Of those that can start now, the one with the longest way; None if there are none."""
        self.ready += self.order.get_ready()
        if not self.ready:
            return None
        name = max(self.ready, key=self.way.__getitem__)
        self.ready.remove(name)
        return name

    def done(self, name: str) -> None:
        """What only waited for this one can start."""
        self.order.done(name)


def longest_ways(
    needs: Mapping[str, Collection[str]], seconds: Callable[[str], float]
) -> dict[str, float]:
    """For each name, the seconds from its start to the end of the last one that waits for it."""
    ways = {name: seconds(name) for name in needs}
    for name in reversed(list(TopologicalSorter(needs).static_order())):
        for needed in needs[name]:
            ways[needed] = max(ways[needed], seconds(needed) + ways[name])
    return ways
