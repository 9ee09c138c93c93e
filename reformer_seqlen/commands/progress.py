"""How far a study is: what is finished, what runs, how long the rest takes."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean

from tqdm import tqdm

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import TIMINGS
from reformer_seqlen.runtime.progress import duration

STARTUP_SECONDS = 4.0
"""What a stage takes that does not train or score: mostly to import what it needs."""
TIMED = ("pretrain", "finetune", "evaluate")
"""The kinds of stages that write their runtime."""


def last_runtimes() -> dict[str, float]:
    """The seconds of training or scoring of each stage, as its last run wrote them.

    A damaged file is left out: DVC runs its stage again.
    """
    found = {}
    for path in TIMINGS.glob("*/*.json"):
        with suppress(StudyError, KeyError, TypeError, ValueError):
            found[f"{path.parent.name}@{path.stem}"] = float(read_json(path)["runtime_seconds"])
    return found


@dataclass
class Progress:
    """What `make repro` shows: a line whenever a stage starts, and on a terminal what runs now.

    Attributes:
        names: the stages that may have to run.
        runtimes: what is known of how long stages train or score, in seconds.
        jobs: how many run at a time.
        untrained: the stages `finetune` of runs that are not trained.
        now: the seconds of a clock.
    """

    names: Iterable[str]
    runtimes: Mapping[str, float]
    jobs: int = 1
    untrained: Collection[str] = ()
    now: Callable[[], float] = time.monotonic
    took: dict[str, float] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._left = set(self.names)
        self._total = len(self._left)
        self._bar = tqdm(bar_format="{desc}", leave=False, disable=None if self.jobs > 1 else True)

    def begin(self, name: str) -> None:
        """A stage starts."""
        self.running[name] = self.now()
        self._total += name not in self._left
        self._left.add(name)
        self.show(self._state(list(self.running)))

    def end(self, name: str) -> None:
        """A stage has ended, or was found to be up to date."""
        self._left.discard(name)
        if name in self.running:
            self.took[name] = self.now() - self.running.pop(name)

    def said(self, name: str, line: str) -> None:
        """A stage printed a line."""
        self.show(f"{name}: {line}" if self.jobs > 1 else line)

    def tick(self) -> None:
        """Time has passed."""
        now = self.now()
        for_now = [f"{name} ({duration(now - began)})" for name, began in self.running.items()]
        self._bar.set_description_str(self._state(for_now))

    def close(self) -> None:
        """Nothing more is shown."""
        self._bar.close()

    def show(self, line: str) -> None:
        """Print a line."""
        with tqdm.external_write_mode():
            print(line, flush=True)

    def _state(self, running: list[str]) -> str:
        left = self.seconds_left()
        time_left = "" if left is None else f", about {duration(left)} left"
        finished = self._total - len(self._left)
        return f"[{finished}/{self._total}] {', '.join(running)}{time_left}"

    def expected(self, name: str) -> float | None:
        """How long a stage takes: as its last run, else as others of its kind; None if unknown."""
        kind = self._kind(name)
        if kind not in TIMED:
            return STARTUP_SECONDS
        if name in self.runtimes:
            return STARTUP_SECONDS + self.runtimes[name]
        alike = [seconds for other, seconds in self.took.items() if self._kind(other) == kind]
        alike = alike or [
            STARTUP_SECONDS + seconds
            for other, seconds in self.runtimes.items()
            if self._kind(other) == kind
        ]
        return fmean(alike) if alike else None

    def seconds_left(self) -> float | None:
        """How long the rest takes at the pace so far; None while that can't be known."""
        known = {name: self.expected(name) for name in self._left}
        rest = [seconds for seconds in known.values() if seconds is not None]
        if len(rest) < len(known):
            return None
        now = self.now()
        done = sum(now - began for began in self.running.values())
        planned = sum(self.expected(name) or 0.0 for name in self.took)
        pace = sum(self.took.values()) / planned if planned else 1.0
        return max(0.0, pace * max([sum(rest) / self.jobs, *rest]) - done / self.jobs)

    def _kind(self, name: str) -> str:
        """Stages of one kind take about as long as each other."""
        return "" if name in self.untrained else name.partition("@")[0]
