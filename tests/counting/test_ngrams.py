"""N-grams and their counts, against what a dictionary of tuples counts."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from reformer_seqlen.counting.ngrams import Ngrams, count_ngrams

VOCABULARY = 6
TEXT = np.random.default_rng(7).integers(0, VOCABULARY - 1, 300).astype(np.uint8)


def spelt(counted: list[Ngrams], length: int) -> list[tuple[int, ...]]:
    """The n-grams of a length, as tuples, in the order of their numbers."""
    if length == 0:
        return [()]
    shorter = spelt(counted, length - 1)
    keys = (divmod(int(key), VOCABULARY) for key in counted[length - 1].keys)
    return [(*shorter[context], piece) for context, piece in keys]


def occurrences(text: NDArray[np.uint8], length: int) -> Counter[tuple[int, ...]]:
    pieces = text.tolist()
    return Counter(
        tuple(pieces[begin : begin + length]) for begin in range(len(pieces) - length + 1)
    )


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_longest_are_counted_as_often_as_they_occur(order: int) -> None:
    counted = count_ngrams(TEXT, order, VOCABULARY)
    counts = dict(zip(spelt(counted, order), counted[-1].counts.tolist(), strict=True))
    assert counts == occurrences(TEXT, order)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_shorter_ones_are_counted_by_the_different_pieces_before_them(length: int) -> None:
    counted = count_ngrams(TEXT, 5, VOCABULARY)
    expected = Counter(longer[1:] for longer in occurrences(TEXT, length + 1))
    expected[tuple(TEXT[:length].tolist())] += 1  # the beginning of the text
    found = zip(spelt(counted, length), counted[length - 1].counts.tolist(), strict=True)
    assert dict(found) == expected


def test_numbers_go_by_context() -> None:
    for ngrams in count_ngrams(TEXT, 4, VOCABULARY):
        assert (np.diff(ngrams.keys) > 0).all()


def test_a_text_shorter_than_the_order_has_fewer_lengths() -> None:
    counted = count_ngrams(np.array([3, 1]), 7, VOCABULARY)
    assert [spelt(counted, length) for length in (1, 2)] == [[(1,), (3,)], [(3, 1)]]
    assert len(counted) == 2
    assert count_ngrams(np.empty(0, dtype=np.uint8), 7, VOCABULARY) == []


def test_a_large_vocabulary_and_order_pack_into_no_larger_keys() -> None:
    """50,000 pieces and order 9 would not fit an integer as digits of one number."""
    text = np.random.default_rng(3).integers(0, 50_000, 500).astype(np.uint16)
    repeated = np.concatenate([text, text])
    *_, longest = count_ngrams(repeated, 9, 50_000)
    assert longest.keys.max() < 1000 * 50_000
    assert np.bincount(longest.counts).tolist() == [0, 8, 492]
