"""How far a study is: what is finished, what runs, how long the rest takes."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean

from tqdm import tqdm

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json, write_json
from reformer_seqlen.runtime.paths import TIMINGS, WORK
from reformer_seqlen.runtime.progress import duration

STARTUP_SECONDS = 4.0
"""What a stage takes that does not train or score: mostly to import what it needs."""
TOOK = WORK / "took.json"
"""How long each stage took here, from its start to its end."""
TIMED = ("pretrain", "finetune", "evaluate")
"""The kinds of stages that write their runtime."""


def last_runtimes() -> dict[str, float]:
    """The seconds of training or scoring of each stage, as its last run wrote them.

    Of stages that write none, what they took here, without their start. A damaged file is left out:
    DVC runs its stage again.
    """
    found = {name: max(0.0, took - STARTUP_SECONDS) for name, took in _took().items()}
    for path in TIMINGS.glob("*/*.json"):
        with suppress(StudyError, KeyError, TypeError, ValueError):
            found[f"{path.parent.name}@{path.stem}"] = float(read_json(path)["runtime_seconds"])
    return found


def remember(took: Mapping[str, float]) -> None:
    """Keep what stages took, for the next time."""
    write_json(TOOK, {**_took(), **{name: round(seconds, 1) for name, seconds in took.items()}})


def _took() -> dict[str, float]:
    """What stages took here; nothing where that is not known, or the file is damaged."""
    with suppress(OSError, StudyError, AttributeError, TypeError, ValueError):
        return {name: float(seconds) for name, seconds in read_json(TOOK).items()}
    return {}


def _whole(runtime: float) -> float:
    """The seconds of a stage by those of its training or scoring."""
    return STARTUP_SECONDS + runtime


@dataclass
class Progress:
    """What `make repro` shows: a line whenever a stage starts, and on a terminal what runs now.

    Attributes:
        names: the stages that may have to run.
        runtimes: what is known of how long stages train or score, in seconds.
        amounts: tokens to train on or to score, as many as training takes the same time for.
        jobs: how many run at a time.
        untrained: the stages `finetune` of runs that are not trained.
        now: the seconds of a clock.
    """

    names: Iterable[str]
    runtimes: Mapping[str, float]
    amounts: Mapping[str, float] = field(default_factory=dict)
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
        """How long a stage takes: as its last run, at the pace of today; None if unknown.

        Without a last run, as others of its kind, or as any that trained or scored, for as many
        tokens; else as others of its kind in the mean.
        """
        last = {other: self._pace() * _whole(seconds) for other, seconds in self.runtimes.items()}
        if name in last:
            return last[name]
        seen = {**last, **self.took}
        kind = self._kind(name)
        alike = {other: seconds for other, seconds in seen.items() if self._kind(other) == kind}
        if name in self.amounts:
            for group in (alike, seen):
                tokens = sum(self.amounts.get(other, 0.0) for other in group)
                if tokens:
                    seconds = sum(group[other] for other in group if other in self.amounts)
                    return seconds / tokens * self.amounts[name]
        if alike:
            return fmean(alike.values())
        return None if kind in TIMED else STARTUP_SECONDS

    def _pace(self) -> float:
        """What stages took over what they took the last time, of those that were timed then."""
        again = [name for name in self.took if name in self.runtimes]
        before = sum(_whole(self.runtimes[name]) for name in again)
        return sum(self.took[name] for name in again) / before if again else 1.0

    def seconds_left(self) -> float | None:
        """How long the rest takes at the pace so far; None while that can't be known."""
        rest, now = [], self.now()
        for name in self._left:
            whole = self.expected(name)
            if whole is None:
                return None
            rest.append(max(0.0, whole - (now - self.running.get(name, now))))
        return max([sum(rest) / self.jobs, *rest], default=0.0)

    def _kind(self, name: str) -> str:
        """Stages of one kind take about as long as each other."""
        return "" if name in self.untrained else name.partition("@")[0]
