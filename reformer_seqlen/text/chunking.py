"""Cutting windows: where each begins, and how many tokens are left out."""

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.parameters.common.quantities import Policy
from reformer_seqlen.runtime.messages import text as messages
from reformer_seqlen.text.windows import Windows

PUBLISHED_SHARDS = 4
PUBLISHED_BATCH_ROWS = 1000


def contiguous(tokens: int, length: int, *, every_token: bool) -> Windows:
    """Consecutive windows; the tokens that do not fill another one are the tail.

    Args:
        tokens: how many the split has.
        length: of a window, in tokens.
        every_token: score the tail too, by a last window that begins early and whose first targets
            are context (evaluation). Otherwise the tail is dropped (training).
    """
    targets = tokens - 1
    starts = np.arange(0, targets - length + 1, length, dtype=np.int64)
    context = np.zeros(len(starts), dtype=np.int64)
    tail = targets % length
    if every_token and tail and len(starts):
        starts = np.append(starts, targets - length)
        context = np.append(context, length - tail)
    return Windows(starts, context)


def published(rows: NDArray[np.int64], tokens: int, length: int) -> Windows:
    """The published study's blocks.

    Its `datasets.map(batched=True, num_proc=4)` cuts the rows into 4 contiguous shards, joins each
    batch of 1000 rows of a shard, and cuts the batch into blocks; every batch's remainder is
    dropped.

    Args:
        rows: (rows,) the token at which each row begins.
        tokens: how many the split has.
        length: of a block, in tokens.
    """
    bounds = np.append(rows, tokens)
    starts = [
        np.arange(bounds[begin], bounds[end] - length + 1, length, dtype=np.int64)
        for begin, end in _published_batches(len(rows))
    ]
    joined = np.concatenate([np.empty(0, dtype=np.int64), *starts])
    return Windows(joined, np.zeros(len(joined), dtype=np.int64))


def _published_batches(rows: int) -> list[tuple[int, int]]:
    size, longer = divmod(rows, PUBLISHED_SHARDS)
    batches, begin = [], 0
    for shard in range(PUBLISHED_SHARDS):
        end = begin + size + (shard < longer)
        batches += [
            (first, min(first + PUBLISHED_BATCH_ROWS, end))
            for first in range(begin, end, PUBLISHED_BATCH_ROWS)
        ]
        begin = end
    return batches


def cut(
    policy: Policy, rows: NDArray[np.int64], tokens: int, length: int, *, every_token: bool
) -> Windows:
    """The windows of a split under a policy."""
    if policy == "published":
        return published(rows, tokens, length)
    return contiguous(tokens, length, every_token=every_token)


def kept(policy: Policy, windows: Windows, tokens: int, length: int) -> dict[str, int]:
    """How many windows there are, and how many of the split's tokens they read and leave out."""
    if policy == "published":
        read = len(windows) * length
    else:
        read = int(windows.starts[-1]) + length + 1 if len(windows) else 0
    return {"windows": len(windows), "kept": read, "dropped": tokens - read}


def refuse_empty(windows: Windows, key: str, split: str, tokens: int, length: int) -> None:
    """Raise a StudyError if a split holds no window at all."""
    if not len(windows):
        raise messages.no_window(key, split, tokens, length)
