"""How well a model predicts a split: nats of the scored pieces, and what they mean.

Sums are taken over tokens, never as a mean of batch means, so batches of unequal size weigh what
they hold.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reformer_seqlen.text.splits import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray


MAX_LOSS_NATS = 700.0
"""exp of more is no finite number."""


@dataclass(frozen=True)
class Target:
    """What is known of the scored targets of a split before any model sees it."""

    tokens: int
    bytes: int
    unknown: int
    unigram_nats: float
    """Entropy of the targets' own piece counts, nats per piece: no unigram model scores better."""


def describe_targets(split: Split, unknown_id: int) -> Target:
    """Count the scored targets of a split: tokens, bytes, unknown pieces and unigram entropy."""
    scored = split.scored_positions()
    ids = split.tokens.ids[scored]
    return Target(
        tokens=len(scored),
        bytes=int(split.tokens.piece_bytes[scored].sum(dtype=np.int64)),
        unknown=int((ids == unknown_id).sum()),
        unigram_nats=unigram_nats(np.bincount(ids)),
    )


def unigram_nats(counts: "NDArray[np.int64]") -> float:
    """Entropy in nats of a distribution given by counts.

    Example: counts (1, 1) give ln 2.
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def bits_per_byte(total: float, bytes_scored: int) -> float:
    """Bits per byte of text: nats / (ln 2 x bytes of the scored pieces)."""
    return total / (math.log(2) * bytes_scored)


def perplexity(loss_nats: float) -> float | None:
    """Perplexity of a loss in nats; None where it is no finite number."""
    if not math.isfinite(loss_nats) or loss_nats > MAX_LOSS_NATS:
        return None
    return math.exp(loss_nats)
