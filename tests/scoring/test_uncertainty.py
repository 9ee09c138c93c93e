"""Intervals of scores: what they hold, and how often."""

import math

import numpy as np
import pytest

from reformer_seqlen.scoring.uncertainty import (
    BLOCKS,
    Sums,
    bits_per_byte_of,
    block_sums,
    boundaries,
    difference,
    interval,
)


def test_documents_are_blocks_where_there_are_enough() -> None:
    starts = np.arange(0, 3000, 100)
    assert boundaries(starts, 3000).tolist() == [*range(0, 3000, 100), 3000]


def test_a_text_of_few_documents_is_cut_into_equal_blocks() -> None:
    bounds = boundaries(np.array([0, 10]), 6000)
    assert len(bounds) == BLOCKS + 1
    assert set(np.diff(bounds)) == {100}
    assert boundaries(np.array([0]), 3).tolist() == [0, 1, 2, 3]


def test_a_target_belongs_to_the_block_of_its_last_byte() -> None:
    """Pieces of 2, 3 and 1 bytes after a first one of 2: they end at 4, 7 and 8."""
    sums = block_sums(
        np.array([1.0, 2.0, 4.0]), np.array([2, 3, 1]), np.array([4, 7, 8]), np.array([0, 4, 7, 8])
    )
    assert sums.tolist() == [[1.0, 2.0], [2.0, 3.0], [4.0, 1.0]]
    wide = np.array([0, 2, 7, 8])
    sums = block_sums(np.array([1.0, 2.0, 4.0]), np.array([2, 3, 1]), np.array([4, 7, 8]), wide)
    assert sums.tolist() == [[3.0, 5.0], [4.0, 1.0]]


def test_all_blocks_together_give_the_score() -> None:
    sums = np.array([[2 * math.log(2), 1.0], [4 * math.log(2), 2.0]])
    assert bits_per_byte_of(sums) == pytest.approx(2.0)


def test_blocks_that_are_alike_leave_no_doubt() -> None:
    sums = np.tile([math.log(2), 1.0], (40, 1))
    assert interval(sums) == pytest.approx((1, 1))
    assert difference(sums, sums * [2, 1]) == pytest.approx((-1, -1, -1))


def test_blocks_of_different_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 blocks and 4 are not of the same text"):
        difference(np.ones((3, 2)), np.ones((4, 2)))


def simulated(generator: np.random.Generator, blocks: int) -> Sums:
    """Blocks of different sizes and difficulty, whose true score is 2 bits per byte."""
    size = generator.integers(500, 1500, blocks)
    bits = 2 + generator.normal(0, 0.3, blocks) + generator.normal(0, 0.1, blocks)
    return np.stack([bits * size * math.log(2), size], axis=1)


@pytest.mark.parametrize("blocks", [30, BLOCKS])
def test_an_interval_holds_the_truth_nineteen_times_in_twenty(blocks: int) -> None:
    generator = np.random.default_rng(1)
    times, held = 400, 0
    for _ in range(times):
        low, high = interval(simulated(generator, blocks))
        held += low <= 2 <= high
    assert 0.91 <= held / times <= 0.98


def test_a_difference_on_the_same_text_is_known_better_than_either_score() -> None:
    generator = np.random.default_rng(2)
    times, held, widths, of_difference = 200, 0, [], []
    for _ in range(times):
        one = simulated(generator, BLOCKS)
        other = one.copy()
        other[:, 0] -= (0.05 + generator.normal(0, 0.05, BLOCKS)) * one[:, 1] * math.log(2)
        value, low, high = difference(one, other)
        held += low <= 0.05 <= high
        of_difference.append(high - low)
        widths.append(np.subtract(*interval(one)[::-1]))
        assert low < value < high
    assert 0.90 <= held / times <= 0.99
    assert np.median(of_difference) < np.median(widths) / 3
