"""Measures of how well a model predicts a split, from its loss in nats."""

import math
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.runtime.files import finite
from reformer_seqlen.scoring.uncertainty import (
    Sums,
    bits_per_byte_of,
    block_sums,
    boundaries,
    difference,
    interval,
)
from reformer_seqlen.text.splits import Split

MAX_LOSS_NATS = 700.0
"""exp of a little more overflows a float."""


@dataclass(frozen=True)
class Target:
    """Statistics of a split's scored targets, which depend on no model.

    Attributes:
        unigram_nats: entropy of the targets' own piece counts, nats per piece: no unigram model
            scores better.
        words: that the targets stand for; None where the text is none of words.
    """

    tokens: int
    bytes: int
    unknown: int
    unigram_nats: float
    words: float | None = None


def describe_targets(split: Split, unknown_id: int | None, words: int | None = None) -> Target:
    """Count the scored targets of a split: tokens, bytes, unknown pieces, entropy and words.

    Special tokens before documents are none of them.

    Args:
        split: what was scored.
        unknown_id: the tokenizer's unknown piece; None where it knows every text.
        words: of the split's whole text, if it is one of words. The scored targets stand for words
            in proportion to their bytes; contiguous windows leave out the first piece alone.
    """
    scored = split.scored_positions()
    ids = split.tokens.ids[scored]
    size = split.tokens.bytes_of(scored)
    return Target(
        tokens=len(scored),
        bytes=size,
        unknown=0 if unknown_id is None else int((ids == unknown_id).sum()),
        unigram_nats=unigram_nats(np.bincount(ids)),
        words=None if words is None else words * size / split.tokens.bytes_of(slice(None)),
    )


def describe_loss(loss_nats: float, blocks: Sums, target: Target) -> dict[str, Any]:
    """What is written of any model's mean loss on a split's targets.

    A text of words has a perplexity per word too, the exponential of all nats over the number of
    words. Like bits per byte it can be compared across tokenizers, and is too low where pieces are
    unknown; also where a line's end, which is a word, is no piece (`row_shape` of a token set).
    """
    of_words = {}
    if target.words is not None:
        of_words["word_perplexity"] = perplexity(loss_nats * target.tokens / target.words)
    return {
        "loss_nats": finite(loss_nats),
        "perplexity": perplexity(loss_nats),
        **short(blocks),
        "tokens": target.tokens,
        "bytes": target.bytes,
        "unknown_rate": target.unknown / target.tokens,
        "unigram_perplexity": perplexity(target.unigram_nats),
        **of_words,
    }


def unigram_nats(counts: NDArray[np.int64]) -> float:
    """Entropy in nats of a distribution given by counts.

    Example: counts (1, 1) give ln 2.
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def perplexity(loss_nats: float) -> float | None:
    """Perplexity of a loss in nats; None where it is not finite."""
    if not math.isfinite(loss_nats) or loss_nats > MAX_LOSS_NATS:
        return None
    return math.exp(loss_nats)


def blocks_of(split: Split, nats: NDArray[np.floating]) -> Sums:
    """Nats and bytes of a split's scored targets in each block of its text, (blocks, 2).

    Args:
        split: what was scored.
        nats: (targets,) the loss of each, in the order of the windows.
    """
    sizes = split.tokens.sizes()  # (tokens,)
    ends = np.cumsum(sizes)
    starts = np.append(0, ends)[split.tokens.documents]
    positions = split.scored_positions()
    bounds = boundaries(starts, int(ends[-1]))
    return block_sums(nats, sizes[positions], ends[positions], bounds)


def short(blocks: Sums) -> dict[str, float | None]:
    """Bits per byte and its interval."""
    low, high = interval(blocks)
    values = {"bits_per_byte": bits_per_byte_of(blocks), "low": low, "high": high}
    return {key: finite(value) for key, value in values.items()}


def beside(blocks: Sums, own: Sums) -> dict[str, Any]:
    """Bits per byte and its interval, and by how much it is above a run's own score.

    The difference is much surer than the two scores, as both are of the same text. It is None where
    the targets are not the same, or a score is no number.

    Args:
        blocks: of the same model, scored in another way.
        own: of the model as it was trained.
    """
    found: dict[str, Any] = {**short(blocks), "difference": None}
    if np.array_equal(blocks[:, 1], own[:, 1]) and np.isfinite(blocks + own).all():
        value, low, high = difference(blocks, own)
        found["difference"] = {"bits_per_byte": value, "low": low, "high": high}
    return found


def describe(
    split: Split,
    losses: list[float],
    blocks: Sums,
    unknown_id: int | None,
    words: int | None = None,
) -> dict[str, float | int | None]:
    """What is written of one split.

    Args:
        split: what was scored.
        losses: mean nats per token for each draw of the hashes.
        blocks: nats and bytes of each block of text.
        unknown_id: the tokenizer's unknown piece.
        words: of the split's whole text, if it is one of words.
    """
    return {
        **describe_loss(fmean(losses), blocks, describe_targets(split, unknown_id, words)),
        "hash_draws": len(losses),
        "perplexity_spread": spread([p for p in map(perplexity, losses) if p is not None]),
    }


def describe_peeking(strict: list[float], published: list[float]) -> dict[str, float | None]:
    """What the same weights score under the published rule.

    The spread is of the change: both rules hash alike in a draw, so the change says what peeking
    is worth, and its spread over the draws how well that is known.
    """
    pairs = zip(map(perplexity, strict), map(perplexity, published), strict=True)
    changes = [there - here for here, there in pairs if here is not None and there is not None]
    return {
        "perplexity_published_lsh": perplexity(fmean(published)),
        "perplexity_published_lsh_spread": spread(changes),
    }


def spread(values: list[float]) -> float:
    """Between the lowest and the highest."""
    return max(values, default=0.0) - min(values, default=0.0)


def nats_by_position(split: Split, nats: NDArray[np.floating]) -> list[dict[str, float | int]]:
    """Mean nats of the targets by how many tokens of their window come before them.

    Positions are counted from 1, the context of a window's first target, and put together from one
    power of two to the next.

    Args:
        split: what was scored.
        nats: (targets,) the loss of each, in the order of the windows.
    """
    context = split.scored_contexts()  # (targets,)
    bins = np.ceil(np.log2(context)).astype(np.int64)
    counts, sums = np.bincount(bins), np.bincount(bins, nats)
    return [
        {"up_to": 2**power, "tokens": int(count), "nats": float(total / count)}
        for power, (count, total) in enumerate(zip(counts, sums, strict=True))
        if count
    ]
