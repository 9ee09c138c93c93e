"""A function over many items in several processes: the results come in the items' order."""

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from reformer_seqlen.runtime.messages import text as messages
from reformer_seqlen.runtime.process import end_with_parent

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 4
"""Items that are given out for each worker before the first result of them is waited for."""


def in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int
) -> Generator[R, None, None]:
    """The function's results, a few items at a time in memory.

    Args:
        function: the same for every worker; it is copied to each once.
        items: its arguments.
        workers: how many processes; 1 calls it in this one.

    Raises:
        StudyError: a worker was killed.
    """
    if workers == 1:
        yield from map(function, items)
        return
    start = get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(workers, start, initializer=_begin, initargs=(function,))
    given: deque[Future[R]] = deque()
    try:
        for item in items:
            given.append(pool.submit(_call, item))
            if len(given) > AHEAD * workers:
                yield given.popleft().result()
        while given:
            yield given.popleft().result()
    except BrokenProcessPool as error:
        raise messages.worker_ended() from error
    finally:
        pool.shutdown(cancel_futures=True)


_functions: list[Callable[[Any], Any]] = []
"""What a worker calls: one."""


def _begin(function: Callable[[Any], Any]) -> None:
    end_with_parent()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each worker has its share of the cores
    _functions.append(function)


def _call(item: Any) -> Any:
    return _functions[-1](item)
