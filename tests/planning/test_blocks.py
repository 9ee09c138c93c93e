"""Windows of rows that are not there yet."""

import numpy as np
import pytest

from reformer_seqlen.planning.blocks import expected_blocks
from reformer_seqlen.text.chunking import published


def test_rows_that_are_not_there_are_taken_to_differ() -> None:
    # 4 shards of 2 batches of 1000 rows, 3.0 blocks in the mean: half of the batches lack a token
    assert expected_blocks(8 * 3 * 16_000, 8000, 1.0, 16_000) == 8 * 5 // 2
    # all alike and a few tokens more than 3 blocks, or a few less
    assert expected_blocks(8 * 48_100, 8000, 0.0, 16_000) == 8 * 3
    assert expected_blocks(8 * 47_900, 8000, 0.0, 16_000) == 8 * 2
    # short blocks: each batch drops half of one in the mean
    assert expected_blocks(8 * 48_000, 8000, 1.0, 256) == round(8 * (48_000 / 256 - 0.5))
    # what is left of a shard is a batch, too: 3 of 1 row, one of 2, which hold a block of 150
    assert expected_blocks(500, 5, 0.0, 150) == 1


def test_expected_blocks_are_the_mean_of_those_of_drawn_rows() -> None:
    """Rows of the spread of enwik8's, cut as the stage cuts them."""
    draw = np.random.default_rng(0)
    counts = []
    for _ in range(20):
        lengths = draw.gamma(1 / 2.5**2, 50 * 2.5**2, 40_000)
        begins = np.append(0, np.cumsum(lengths)[:-1]) * (2_000_000 / lengths.sum())
        counts.append(len(published(begins.astype(np.int64), 2_000_000, 16_384)))
    expected = expected_blocks(2_000_000, 40_000, 2.5, 16_384)
    assert expected == pytest.approx(np.mean(counts), rel=0.02)
