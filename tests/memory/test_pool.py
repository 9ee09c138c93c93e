"""Tasks side by side: results in order whatever fails, and no worker outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from reformer_seqlen.memory import pool
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import PATIENCE_SECONDS


def slept(seconds: float, result: str) -> str:
    time.sleep(seconds)
    return result


def refused() -> str:
    raise StudyError("not with me")


def marked(path: Path) -> str:
    time.sleep(0.1)
    path.touch()
    return path.name


def broken() -> str:
    raise ZeroDivisionError


def killed() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@pytest.mark.slow
def test_results_come_in_the_order_of_the_tasks() -> None:
    found = pool.run({"a": partial(slept, 0.3, "a"), "b": partial(slept, 0, "b")}, "trying", 2)
    assert list(found.items()) == [("a", "a"), ("b", "b")]


def test_what_fails_says_why_and_leaves_the_others_alone() -> None:
    tasks: dict[str, pool.Task[str]] = {"bad": refused, "good": partial(slept, 0, "done")}
    found = pool.run(tasks, "trying", 2)
    assert isinstance(found["bad"], StudyError)
    assert str(found["bad"]) == "not with me"
    assert list(found) == ["bad", "good"]
    assert found["good"] == "done"


def test_there_may_be_no_task() -> None:
    assert pool.run({}, "trying", 2) == {}


@pytest.mark.slow
def test_a_mistake_in_the_code_ends_the_run_at_once(tmp_path: Path) -> None:
    tasks: dict[str, pool.Task[str]] = {"bad": broken}
    tasks |= {str(number): partial(marked, tmp_path / str(number)) for number in range(40)}
    with pytest.raises(ZeroDivisionError):
        pool.run(tasks, "trying", 2)
    assert len(list(tmp_path.iterdir())) < 40


def test_a_worker_that_is_killed_is_one_clear_message() -> None:
    tasks: dict[str, pool.Task[str]] = {"bad": killed, "good": partial(slept, 0, "done")}
    with pytest.raises(StudyError, match="was ended from outside"):
        pool.run(tasks, "trying", 2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's end")
def test_workers_end_with_a_parent_that_is_killed() -> None:
    script = (
        "from functools import partial\n"
        "from reformer_seqlen.memory import pool\n"
        "from tests.memory.test_pool import slept\n"
        "pool.run({'a': partial(slept, 600, ''), 'b': partial(slept, 600, '')}, 'trying', 2)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    workers = wait_for_children(parent.pid)
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)
    assert (bool(gone), alive) == (True, [])


def wait_for_children(number: int) -> list[psutil.Process]:
    """The children of a process, once there are some."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (children := psutil.Process(number).children()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)  # so that each has set itself up
    return children
