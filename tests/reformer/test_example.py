"""The example in the package's docstring."""

import doctest

from reformer_seqlen import reformer


def test_the_example_is_right() -> None:
    results = doctest.testmod(reformer)
    assert results.attempted == 9
    assert results.failed == 0
