"""How many windows a policy cuts of a split: of tokens that are there, or as expected."""

import math
from collections import Counter
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np

from reformer_seqlen.parameters.common.quantities import Policy
from reformer_seqlen.text.chunking import PUBLISHED_BATCH_ROWS, PUBLISHED_SHARDS, cut


def cut_windows(token_set: Path, policy: Policy, tokens: int, length: int, split: str) -> int:
    """Windows of a split whose tokens are there, cut as the stage `chunk` cuts them.

    Args:
        token_set: a folder of data/tokens.
        policy: how the tokens are cut.
        tokens: how many the split has.
        length: of a window, in tokens.
        split: training drops the tail of a split, scoring does not.
    """
    rows = np.load(token_set / f"{split}.rows.npy", mmap_mode="r", allow_pickle=False)
    return len(cut(policy, rows, tokens, length, every_token=split != "train"))


@cache
def expected_blocks(tokens: int, rows: int, row_spread: float, length: int) -> int:
    """Blocks that the published policy is expected to cut of rows whose lengths are not known.

    It cuts each batch of rows on its own and drops what is left. A batch of n rows has about n
    times their mean of tokens, give or take their deviation times the root of n; where that is
    near a multiple of the length, some batches have one block more than others.

    Example: of batches of 3.0 lengths in the mean, half give 3 blocks and half 2.

    Args:
        tokens: of the split.
        rows: of the split.
        row_spread: the standard deviation of a row's length over its mean.
        length: of a block, in tokens.
    """
    mean = tokens / rows
    expected = 0.0
    for size, batches in _published_batch_sizes(rows).items():
        deviation = row_spread * mean * math.sqrt(size)
        batch = NormalDist(size * mean, max(deviation, 0.5))  # in whole tokens
        most = math.ceil((batch.mean + 6 * batch.stdev) / length)
        expected += batches * sum(1 - batch.cdf(blocks * length) for blocks in range(1, most + 1))
    return min(round(expected), tokens // length)


def _published_batch_sizes(rows: int) -> Counter[int]:
    """How many batches of each number of rows there are: each shard's last one is smaller."""
    sizes: Counter[int] = Counter()
    for shard in range(PUBLISHED_SHARDS):
        of_shard = rows // PUBLISHED_SHARDS + (shard < rows % PUBLISHED_SHARDS)
        whole, rest = divmod(of_shard, PUBLISHED_BATCH_ROWS)
        sizes[PUBLISHED_BATCH_ROWS] += whole
        sizes[rest] += rest > 0
    return +sizes
