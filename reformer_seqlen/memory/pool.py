"""A pool of processes for predictions and measurements: none depends on another."""

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from reformer_seqlen.runtime import progress
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.messages import memory as messages
from reformer_seqlen.runtime.process import end_with_parent

K = TypeVar("K")
T = TypeVar("T")
Task = Callable[[], T]
"""Picklable: a worker runs it."""


def run(tasks: Mapping[K, Task[T]], what: str, processes: int) -> dict[K, T | StudyError]:
    """Run tasks side by side, and show how many are done.

    Args:
        tasks: by name. They are started in this order: the longest first keeps all cores busy.
        what: what is done, for the progress bar.
        processes: how many tasks run at a time.

    Returns:
        What each task returned or the StudyError that it raised, in the order of the tasks.

    Raises:
        StudyError: a worker was killed.
    """
    # A forked worker has everything imported already.
    start = get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(processes, start, initializer=end_with_parent)
    try:
        futures = {name: pool.submit(_attempt, task) for name, task in tasks.items()}
        done = as_completed(futures.values())
        for future in progress.over(done, what, "task", len(futures)):
            future.result()
        return {name: future.result() for name, future in futures.items()}
    except BrokenProcessPool as error:
        raise messages.worker_ended() from error
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(task: Task[T]) -> T | StudyError:
    try:
        return task()
    except StudyError as error:
        return error
