"""Work in several processes."""

import os
import signal

import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.text.workers import in_order


def square(number: int) -> int:
    return number * number


def end(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert list(in_order(square, range(50), workers)) == [number**2 for number in range(50)]


def test_few_items_are_taken_before_their_results_are() -> None:
    items = iter(range(100))
    results = in_order(square, items, 2)
    assert next(results) == 0
    assert next(items) < 20
    results.close()


def test_a_worker_that_is_killed_is_a_message() -> None:
    with pytest.raises(StudyError, match="a process that encodes text was ended from outside"):
        list(in_order(end, range(3), 2))
