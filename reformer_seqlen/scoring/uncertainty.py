"""How sure a score is: the bootstrap over blocks of text (Efron 1979; blocks: Künsch 1989).

Neighbouring tokens are not independent, so whole documents are drawn, or long blocks of a text that
has too few documents. Blocks are cut by bytes of the text, and so are the same for every model of a
tokenizer: the difference of two runs on the same targets is drawn in pairs, and is known far better
than either of them.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MIN_DOCUMENTS = 30
"""With fewer, how much they differ is not known well, and blocks of a text are drawn instead."""
BLOCKS = 60
DRAWS = 2000
TAIL = 0.025
"""Of the draws, below an interval and above it: it holds the true value 19 times in 20."""

Sums = NDArray[np.float64]
"""(blocks, 2): nats and bytes of the targets in each block."""


def boundaries(document_starts: NDArray[np.int64], total_bytes: int) -> NDArray[np.int64]:
    """Where blocks of a text begin and end, in bytes: (blocks + 1,).

    Args:
        document_starts: the byte at which each document begins.
        total_bytes: of the text.
    """
    if len(document_starts) >= MIN_DOCUMENTS:
        return np.append(document_starts, total_bytes)
    blocks = max(1, min(BLOCKS, total_bytes))
    return np.linspace(0, total_bytes, blocks + 1).round().astype(np.int64)


def block_sums(
    nats: NDArray[np.floating],
    piece_bytes: NDArray[np.integer],
    ends: NDArray[np.int64],
    bounds: NDArray[np.int64],
) -> Sums:
    """Nats and bytes of each block; blocks without a target are left out.

    Args:
        nats: (targets,) the loss of each.
        piece_bytes: (targets,) the bytes of text that each stands for.
        ends: (targets,) the byte of the text at which each ends; the block that holds its last byte
            is its own.
        bounds: as `boundaries` gives them.
    """
    block = np.searchsorted(bounds[1:-1], ends - 1, side="right")  # (targets,)
    count = len(bounds) - 1
    columns = [np.bincount(block, weights, minlength=count) for weights in (nats, piece_bytes)]
    sums: Sums = np.stack(columns, axis=1)
    return sums[np.bincount(block, minlength=count) > 0]


def bits_per_byte_of(sums: Sums) -> float:
    """The score of all blocks together."""
    nats, size = sums.sum(axis=0)
    return float(nats / (math.log(2) * size))


def interval(sums: Sums, seed: int = 0) -> tuple[float, float]:
    """The interval of bits per byte that holds 95 % of the bootstrap's draws: low, high."""
    low, high = np.quantile(_drawn(sums, seed), [TAIL, 1 - TAIL])
    return float(low), float(high)


def difference(one: Sums, other: Sums, seed: int = 0) -> tuple[float, float, float]:
    """By how much `one` is above `other` in bits per byte, and its interval: value, low, high.

    Args:
        one: of a run.
        other: of another run on the same blocks.
        seed: of the draws.

    Raises:
        ValueError: the blocks are not the same.
    """
    if len(one) != len(other):
        raise ValueError(f"{len(one)} blocks and {len(other)} are not of the same text")
    drawn = _drawn(one, seed) - _drawn(other, seed)
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL])
    return bits_per_byte_of(one) - bits_per_byte_of(other), float(low), float(high)


def _drawn(sums: Sums, seed: int) -> NDArray[np.float64]:
    """Bits per byte of draws of as many blocks as there are: (draws,)."""
    nats, size = (_times(len(sums), seed) @ sums).T
    drawn: NDArray[np.float64] = nats / (math.log(2) * size)
    return drawn


@lru_cache(maxsize=8)
def _times(blocks: int, seed: int) -> NDArray[np.float64]:
    """How often each block is drawn: (draws, blocks). The same for all runs on a text."""
    generator = np.random.default_rng(seed)
    times = generator.multinomial(blocks, np.full(blocks, 1 / blocks), DRAWS)
    return times.astype(np.float64)
