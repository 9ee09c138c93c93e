"""N-gram models with interpolated modified Kneser-Ney smoothing (Chen and Goodman, 1998).

The probability of a piece w after a context h, with h' the context without its first piece:

    p(w | h) = (c(h w) - D(c(h w))) / c(h .) + r(h) p(w | h')
    c(h .)   = the sum of c(h v) over all pieces v
    r(h)     = the sum of D(c(h v)) over all pieces v / c(h .)

D takes three values: for counts of 1, of 2, and of 3 and more. The counts c are occurrences for the
longest n-grams and continuation counts for shorter ones (see `ngrams`). After a context that the
text has not, p(w | h) = p(w | h'). Below the unigrams is the uniform distribution, 1 / vocabulary,
so every piece has a probability above 0, and the probabilities after any context add up to 1.

Contexts go across the starts of documents, as those of the neural models do. Only at the beginning
of a text there are shorter ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.counting.ngrams import Ngrams, Pieces, count_ngrams

Discounts = Sequence[float]
"""What is taken off a count of 1, of 2, and of 3 and more."""
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""For counts that give no discounts: those of KenLM's `--discount_fallback`."""


@dataclass(frozen=True)
class Level:
    """What n-grams of one length say.

    Attributes:
        keys: (n-grams,) ascending (see `ngrams`).
        shares: (n-grams,) (c(h w) - D(c(h w))) / c(h .).
        rests: (contexts,) r(h); 1 for a context that nothing follows.
    """

    keys: NDArray[np.int64]
    shares: NDArray[np.float64]
    rests: NDArray[np.float64]


@dataclass(frozen=True)
class NgramModel:
    """A model of pieces below `vocabulary`, with a level for each length from 1 to its order."""

    vocabulary: int
    levels: list[Level]


def train(
    text: Pieces, order: int, vocabulary: int, discounts: Sequence[Discounts] | None = None
) -> NgramModel:
    """Count a text.

    Args:
        text: (pieces,) ids below `vocabulary`.
        order: of the model: it sees `order - 1` pieces before each.
        vocabulary: how many different pieces there are.
        discounts: of each length from 1 to `order`, at most 1, 2 and 3; by default those that its
            counts give.
    """
    counted = count_ngrams(text, order, vocabulary)
    chosen = discounts or [modified_discounts(ngrams.counts) for ngrams in counted]
    contexts = [1, *(len(ngrams.keys) for ngrams in counted)]
    levels = [
        _level(ngrams, shorter, vocabulary, each)
        for ngrams, shorter, each in zip(counted, contexts, chosen, strict=False)
    ]
    return NgramModel(vocabulary, levels)


def modified_discounts(counts: NDArray[np.int64]) -> Discounts:
    """Chen and Goodman's discounts, from how many n-grams have a count of 1, 2, 3 and 4.

    D_i = i - (i + 1) Y n_(i+1) / n_i for i = 1, 2, 3, where Y = n_1 / (n_1 + 2 n_2) and n_i is how
    many have a count of i. A text in which one n_i is 0, or that gives a D_i below 0, is too short
    or too uniform for them: it gets the fallback.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6)
    if not n[1:5].all():
        return FALLBACK_DISCOUNTS
    y = n[1] / (n[1] + 2 * n[2])
    found = [float(i - (i + 1) * y * n[i + 1] / n[i]) for i in (1, 2, 3)]
    return found if min(found) >= 0 else FALLBACK_DISCOUNTS


def _level(ngrams: Ngrams, contexts: int, vocabulary: int, discounts: Discounts) -> Level:
    """The level of n-grams that have so many contexts."""
    context = ngrams.keys // vocabulary  # (n-grams,)
    discounted = np.array([0.0, *discounts])[np.minimum(ngrams.counts, 3)]
    totals = np.bincount(context, ngrams.counts, minlength=contexts)
    rests = np.ones(contexts)  # nothing may follow the context at the text's end
    taken = np.bincount(context, discounted, minlength=contexts)
    np.divide(taken, totals, out=rests, where=totals > 0)
    return Level(ngrams.keys, (ngrams.counts - discounted) / totals[context], rests)


def nats(model: NgramModel, text: Pieces) -> NDArray[np.float64]:
    """-ln p of each piece of a text, given those before it, (pieces,)."""
    probabilities = np.full(len(text), 1 / model.vocabulary)
    contexts = np.zeros(len(text), dtype=np.int64)  # number of the one before each piece
    for level in model.levels:
        known = np.flatnonzero(contexts >= 0)
        keys = contexts[known] * model.vocabulary + text[known]
        places = np.searchsorted(level.keys, keys).clip(max=len(level.keys) - 1)
        found = level.keys[places] == keys
        rests = level.rests[contexts[known]]
        probabilities[known] = found * level.shares[places] + rests * probabilities[known]
        numbers = np.full(len(text) + 1, -1)  # of the n-gram that ends before each piece
        numbers[known[found] + 1] = places[found]
        contexts = numbers[:-1]
    result: NDArray[np.float64] = -np.log(probabilities)
    return result
