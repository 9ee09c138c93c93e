"""The distinct n-grams of a text and their counts, as sorted arrays of integers.

An n-gram is a context (the n-gram without its last piece) and a last piece. Its key packs both into
one integer, whatever the order:

    key = number of the context x vocabulary + last piece

The number of an n-gram is its place among the sorted keys of its length. So the n-grams of one
length follow from those one piece shorter by one sort of the text's positions. Contexts that share
a number are equal, and n-grams of one context stand side by side.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Pieces = NDArray[np.integer]  # (pieces,) ids


@dataclass(frozen=True)
class Ngrams:
    """The distinct n-grams of one length.

    Attributes:
        keys: (n-grams,) ascending.
        counts: (n-grams,) of the longest n-grams, how often each occurs. Of shorter ones, how many
            different pieces stand before them (Kneser and Ney's continuation counts); the beginning
            of the text counts as one such piece.
    """

    keys: NDArray[np.int64]
    counts: NDArray[np.int64]


def count_ngrams(text: Pieces, order: int, vocabulary: int) -> list[Ngrams]:
    """Count the n-grams of every length from 1 to `order`; a text shorter than that has fewer.

    Args:
        text: (pieces,) ids below `vocabulary`.
        order: pieces of the longest n-grams.
        vocabulary: how many different pieces there are.
    """
    counted: list[Ngrams] = []
    numbers = contexts = np.zeros(len(text), dtype=np.int64)  # one empty context, numbered 0
    for length in range(1, min(order, len(text)) + 1):
        shorter = numbers
        # One entry for each position of the text at which an n-gram of this length ends.
        keys, numbers, counts = np.unique(
            contexts * vocabulary + text[length - 1 :], return_inverse=True, return_counts=True
        )
        if counted:
            continued = _continuation_counts(shorter, numbers, len(keys))
            counted[-1] = replace(counted[-1], counts=continued)
        counted.append(Ngrams(keys, counts))
        contexts = numbers[:-1]
    return counted


def _continuation_counts(
    shorter: NDArray[np.int64], numbers: NDArray[np.int64], longer: int
) -> NDArray[np.int64]:
    """How many different pieces stand before each n-gram.

    Args:
        shorter: (positions,) numbers of the n-grams, where they end in the text.
        numbers: (positions - 1,) numbers of those one piece longer, which the first has none of.
        longer: how many distinct ones of the latter there are.
    """
    suffixes = np.empty(longer, dtype=np.int64)
    suffixes[numbers] = shorter[1:]  # occurrences of one n-gram all have the same suffix
    counts = np.bincount(suffixes, minlength=int(shorter.max()) + 1)
    counts[shorter[0]] += 1
    return counts
