"""The scheduler, with real processes: order, failures, Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from reformer_seqlen.pipeline.processes import Processes, end
from reformer_seqlen.pipeline.schedule import Begun, Ended, Event, longest_ways, run_all
from tests.conftest import PATIENCE_SECONDS

DIAMOND = {"top": set[str](), "left": {"top"}, "right": {"top"}, "bottom": {"left", "right"}}


@dataclass
class Told:
    """A display that keeps what it is told."""

    events: list[tuple[str, ...]] = field(default_factory=list)

    def begin(self, name: str) -> None:
        self.events.append(("begin", name))

    def said(self, name: str, line: str) -> None:
        self.events.append(("said", name, line))

    def end(self, name: str) -> None:
        self.events.append(("end", name))

    def tick(self) -> None:
        pass


def _run(
    needs: Mapping[str, set[str]], code: Mapping[str, str], jobs: int, *, slow: str = ""
) -> tuple[list[str], Told]:
    """Run a line of Python for each name, `pass` by default."""

    def command(name: str) -> Sequence[str]:
        return [sys.executable, "-S", "-c", code.get(name, "pass")]

    told = Told()
    engine = Processes(command, jobs)
    return run_all(needs, engine, lambda name: 1 + (name == slow), told), told


def test_each_starts_after_all_that_it_needs() -> None:
    failed, told = _run(DIAMOND, {}, jobs=2)
    assert failed == []
    assert told.events[:2] == [("begin", "top"), ("end", "top")]
    sides = told.events[2:-2]
    for name in ("left", "right"):  # whichever of the two is told of first
        assert [event for event in sides if event[1] == name] == [("begin", name), ("end", name)]
    assert told.events[-2:] == [("begin", "bottom"), ("end", "bottom")]


def test_no_more_run_at_once_than_jobs() -> None:
    _, told = _run({name: set() for name in "abcde"}, {}, jobs=1)
    kinds = [event[0] for event in told.events]
    assert kinds == ["begin", "end"] * 5


def test_the_longest_way_to_the_end_goes_first() -> None:
    needs = {"short": set[str](), "long": set[str](), "after": {"long"}, "slow": set[str]()}
    _, told = _run(needs, {}, jobs=1, slow="slow")
    begun = [event[1] for event in told.events if event[0] == "begin"]
    assert begun[0] in ("long", "slow")
    assert begun[-1] in ("short", "after")
    ways = longest_ways(needs, lambda name: 3.0 if name == "slow" else 1.0)
    assert ways == {"short": 1.0, "long": 2.0, "after": 1.0, "slow": 3.0}


def test_what_does_not_need_a_failed_one_still_runs() -> None:
    needs = {**DIAMOND, "other": set[str](), "last": {"other"}}
    failed, told = _run(needs, {"left": "raise SystemExit(1)"}, jobs=2)
    assert failed == ["left"]
    begun = {event[1] for event in told.events if event[0] == "begin"}
    assert begun == {"top", "left", "right", "other", "last"}


class HoldsBack:
    """An engine that is given all at once, and knows itself that `right` can't run after `top`."""

    at_once, holds_back = 1, True

    def __init__(self) -> None:
        self.given: list[str] = []

    def start(self, name: str) -> None:
        self.given.append(name)

    def events(self, _: float) -> Iterator[Event]:
        yield Begun("top")
        yield Ended("top", 1)
        for other in ("left", "right", "bottom"):
            yield Ended(other, None)

    def stop(self, error: BaseException) -> None:
        raise AssertionError("nobody has interrupted it")


def test_an_engine_that_holds_back_is_given_all_in_an_order_that_it_can_take() -> None:
    engine, told = HoldsBack(), Told()
    assert run_all(DIAMOND, engine, lambda name: 1 + (name == "right"), told) == ["top"]
    assert engine.given == ["top", "right", "left", "bottom"]
    assert [event for event in told.events if event[0] == "begin"] == [("begin", "top")]


def test_lines_come_with_the_name_of_who_printed_them() -> None:
    code = "import sys; print('to stdout', flush=True); print('to stderr', file=sys.stderr)"
    _, told = _run({"a": set()}, {"a": code}, jobs=1)
    assert told.events == [
        ("begin", "a"),
        ("said", "a", "to stdout"),
        ("said", "a", "to stderr"),
        ("end", "a"),
    ]


IGNORES = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
READY_AND_WAITS = "print('ready', flush=True); import time; time.sleep(600)"
STAGE = f"import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); {READY_AND_WAITS}"
RUNS_A_STAGE = (
    f"{IGNORES} import subprocess, sys; "
    f"sys.exit(subprocess.run([sys.executable, '-c', {STAGE!r}]).returncode == -2 and 3)"
)


@pytest.mark.parametrize(
    ("code", "status"),
    [(RUNS_A_STAGE, 3), (IGNORES + READY_AND_WAITS, -signal.SIGTERM)],
    ids=["a stage that lost Ctrl-C", "one that ignores it"],
)
def test_what_stays_after_ctrl_c_is_told_again_and_then_terminated(code: str, status: int) -> None:
    command = [sys.executable, "-c", code]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other,
    ):
        for each in (process, other):
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        end([process, other], (0.1, PATIENCE_SECONDS if status == 3 else 0.1, PATIENCE_SECONDS))
        assert process.returncode == other.returncode == status


def test_ctrl_c_ends_all_that_run() -> None:
    """It reaches them and the scheduler, here while this tells its display of a line."""
    processes: list[str] = []

    class Interrupted(Told):
        def said(self, name: str, line: str) -> None:
            processes.append(line)
            if len(processes) == 2:
                for process in processes:
                    os.kill(int(process), signal.SIGINT)
                raise KeyboardInterrupt

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with pytest.raises(KeyboardInterrupt):
        run_all(
            {"a": set(), "b": set()},
            Processes(lambda name: [sys.executable, "-S", "-c", code], 2),
            lambda name: 1.0,
            Interrupted(),
        )
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)
