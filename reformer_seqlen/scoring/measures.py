"""Measures of how well a model predicts a split, from its loss in nats."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reformer_seqlen.text.splits import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LOSS_NATS = 700.0
"""exp of a little more overflows a float."""


@dataclass(frozen=True)
class Target:
    """Statistics of a split's scored targets, which depend on no model."""

    tokens: int
    bytes: int
    unknown: int
    unigram_nats: float
    """Entropy of the targets' own piece counts, nats per piece: no unigram model scores better."""


def describe_targets(split: Split, unknown_id: int | None) -> Target:
    """Count the scored targets of a split: tokens, bytes, unknown pieces and unigram entropy.

    Special tokens before documents are none of them. `unknown_id` is None under a tokenizer that
    knows every text.
    """
    scored = split.scored_positions()
    ids = split.tokens.ids[scored]
    return Target(
        tokens=len(scored),
        bytes=split.tokens.bytes_of(scored),
        unknown=0 if unknown_id is None else int((ids == unknown_id).sum()),
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
    """Perplexity of a loss in nats; None where it is not finite."""
    if not math.isfinite(loss_nats) or loss_nats > MAX_LOSS_NATS:
        return None
    return math.exp(loss_nats)
