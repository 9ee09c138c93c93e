"""Modified Kneser-Ney: by hand, from the formulas in dictionaries, and against nltk."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.lm import KneserNeyInterpolated, Vocabulary
from nltk.util import everygrams

from reformer_seqlen.counting.kneser_ney import (
    FALLBACK_DISCOUNTS,
    NgramModel,
    modified_discounts,
    nats,
    train,
)
from reformer_seqlen.counting.ngrams import count_ngrams
from tests.conftest import ROOT
from tests.properties import drawn

LETTERS = 128
ENGLISH = np.frombuffer((ROOT / "LICENSE").read_bytes().lower(), dtype=np.uint8)
"""Each letter is a piece."""
LEARNT, UNSEEN = ENGLISH[:-200], ENGLISH[-200:]


def distribution(model: NgramModel, context: Sequence[int]) -> list[float]:
    """The probability of each piece after a context."""
    texts = (np.array([*context, piece]) for piece in range(model.vocabulary))
    return [math.exp(-nats(model, text)[-1]) for text in texts]


# By hand: a b a b a c, of a vocabulary that has d, too.
#
# No n-gram occurs four times, so all discounts are the fallback's: 1/2 off a count of 1, 1 off 2.
# Continuation counts: a follows b and begins the text, 2; b follows a, 1; c follows a, 1.
# Unigrams: p(a) = (2 - 1)/4 + r/4, p(b) = p(c) = (1 - 1/2)/4 + r/4, p(d) = r/4,
# where r = (1 + 1/2 + 1/2)/4 = 1/2.
# After a, which b follows twice and c once: p(b | a) = (2 - 1)/3 + r(a) p(b),
# p(c | a) = (1 - 1/2)/3 + r(a) p(c), where r(a) = (1 + 1/2)/3 = 1/2.
# After b, which a follows twice: p(a | b) = (2 - 1)/2 + r(b) p(a), where r(b) = 1/2.
A, B, C, D = range(4)
BY_HAND = np.array([A, B, A, B, A, C])
UNIGRAM = [Fraction(3, 8), Fraction(1, 4), Fraction(1, 4), Fraction(1, 8)]
AFTER_A = [Fraction(3, 16), Fraction(11, 24), Fraction(7, 24), Fraction(1, 16)]
AFTER_B = [Fraction(11, 16), Fraction(1, 8), Fraction(1, 8), Fraction(1, 16)]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ([], UNIGRAM),
        ([A], AFTER_A),
        ([B], AFTER_B),
        ([D, A], AFTER_A),
        ([C], UNIGRAM),  # the text ends with it
        ([D], UNIGRAM),
    ],
    ids=["nothing", "a", "b", "d a", "c", "d"],
)
def test_a_bigram_by_hand(context: list[int], expected: list[Fraction]) -> None:
    model = train(BY_HAND, 2, 4)
    assert distribution(model, context) == pytest.approx([float(p) for p in expected], abs=1e-15)


def test_a_unigram_by_hand() -> None:
    """Occurrences: a 3, b 2, c 1; the discounts are 1 1/2, 1 and 1/2, together 3 of 6."""
    expected = [1.5 / 6 + 0.125, 1 / 6 + 0.125, 0.5 / 6 + 0.125, 0.125]
    assert distribution(train(BY_HAND, 1, 4), [B]) == pytest.approx(expected, abs=1e-15)


def test_discounts_by_hand() -> None:
    """From n = 4, 2, 1, 1: Y = 4/8, D1 = 1 - 2/2 x 2/4, D2 = 2 - 3/2 x 1/2, D3 = 3 - 4/2 x 1/1."""
    assert modified_discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4, 9])) == [0.5, 1.25, 1.0]


@pytest.mark.parametrize(
    "counts",
    [[1, 1, 2, 3], [2, 3, 4], [], [1, 2, 3, 3, 3, 4], [1, 2, 3, *[4] * 9]],
    ids=["no four", "no one", "nothing", "D2 below 0", "D3 below 0"],
)
def test_counts_that_give_no_discounts_fall_back(counts: list[int]) -> None:
    assert modified_discounts(np.array(counts, dtype=np.int64)) == FALLBACK_DISCOUNTS


class Dictionaries:
    """The formulas again, in dictionaries of tuples, a probability at a time."""

    def __init__(self, text: Sequence[int], order: int, vocabulary: int) -> None:
        self.order, self.vocabulary = order, vocabulary
        self.counts: dict[int, Counter[tuple[int, ...]]] = {}
        for length in range(1, order + 1):
            grams = [tuple(text[i : i + length]) for i in range(len(text) - length + 1)]
            self.counts[length] = Counter(grams)
        for length in range(1, order):  # those of the longest are not looked at any more
            before: dict[tuple[int, ...], set[int | None]] = defaultdict(set)
            before[tuple(text[:length])].add(None)
            for longer in {tuple(text[i : i + length + 1]) for i in range(len(text) - length)}:
                before[longer[1:]].add(longer[0])
            self.counts[length] = Counter({gram: len(each) for gram, each in before.items()})
        self.followers: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for counts in self.counts.values():
            for gram, count in counts.items():
                self.followers[gram[:-1]].append(count)
        self.discounts = {length: self._discounts(length) for length in self.counts}

    def _discounts(self, length: int) -> Sequence[float]:
        n = Counter(self.counts[length].values())
        if not all(n[i] for i in (1, 2, 3, 4)):
            return FALLBACK_DISCOUNTS
        y = n[1] / (n[1] + 2 * n[2])
        found = [i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)]
        return found if min(found) >= 0 else FALLBACK_DISCOUNTS

    def probability(self, piece: int, context: tuple[int, ...]) -> float:
        shorter = self.probability(piece, context[1:]) if context else 1 / self.vocabulary
        following = self.followers[context]
        if not following:
            return shorter
        discounts = self.discounts[len(context) + 1]
        count = self.counts[len(context) + 1][(*context, piece)]
        share = count - discounts[min(count, 3) - 1] if count else 0.0
        rest = sum(discounts[min(each, 3) - 1] for each in following)
        return (share + rest * shorter) / sum(following)

    def nats(self, text: Sequence[int]) -> Iterator[float]:
        for place, piece in enumerate(text):
            context = tuple(text[max(0, place - self.order + 1) : place])
            yield -math.log(self.probability(piece, context))


@pytest.mark.parametrize("order", [1, 2, 3, 5, 7])
def test_the_same_as_the_formulas_in_dictionaries(order: int) -> None:
    expected = list(Dictionaries(LEARNT.tolist(), order, LETTERS).nats(UNSEEN.tolist()))
    found = nats(train(LEARNT, order, LETTERS), UNSEEN)
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


def test_english_has_discounts_of_its_own() -> None:
    """So that the test above is about them."""
    counted = count_ngrams(LEARNT, 5, LETTERS)
    assert FALLBACK_DISCOUNTS not in [modified_discounts(ngrams.counts) for ngrams in counted]


@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_same_as_nltk_with_one_discount(order: int) -> None:
    """Which takes nothing off unigrams; a piece of its own says where the text begins."""
    discount = 0.75
    ours = train(LEARNT, order, LETTERS, [[0.0] * 3, *[[discount] * 3] * (order - 1)])
    theirs = KneserNeyInterpolated(order, discount, vocabulary=Vocabulary(map(chr, range(LETTERS))))
    theirs.fit([list(everygrams(["the beginning", *map(chr, LEARNT)], max_len=order))])
    text = [chr(piece) for piece in UNSEEN[:60]]
    expected = [
        -math.log(theirs.unmasked_score(piece, tuple(text[max(0, place - order + 1) : place])))
        for place, piece in enumerate(text)
    ]
    assert nats(ours, UNSEEN[:60]).tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("order", [1, 2, 4, 7])
@pytest.mark.parametrize("length", [0, 1, 3, 4, 40, 1000])
def test_probabilities_after_any_context_add_up_to_one(order: int, length: int) -> None:
    draw = np.random.default_rng([order, length])
    text = draw.integers(0, 8, length) * draw.integers(0, 2, length)  # 8 and 9 never occur
    model = train(text, order, 10)
    contexts = [[], text[-6:], text[:6], [8], [0, 8, 0], *draw.integers(0, 10, (20, 6))]
    for context in contexts:
        found = distribution(model, list(context))
        assert sum(found) == pytest.approx(1, abs=1e-12)
        assert min(found) > 0


def test_each_piece_is_given_those_before_it_and_no_others() -> None:
    model = train(LEARNT, 5, LETTERS)
    whole = nats(model, UNSEEN)
    assert nats(model, UNSEEN[:50]).tolist() == whole[:50].tolist()
    assert nats(model, UNSEEN[46:])[4:].tolist() == whole[50:].tolist()
    assert nats(model, UNSEEN[47:])[3] != whole[50]


def test_a_deterministic_text_is_learnt() -> None:
    cycle = np.tile(np.arange(5), 400)
    assert nats(train(cycle, 3, 5), cycle)[2:].max() < 0.01


def test_a_bigram_source_is_scored_at_its_entropy() -> None:
    """After 0 comes 1 or 2, as likely; after 1 and 2 comes 0: half a bit a piece."""
    coins = np.random.default_rng(5).integers(1, 3, 20_000)
    text = np.stack([np.zeros_like(coins), coins], axis=1).reshape(-1)
    model = train(text[:30_000], 3, 3)
    assert nats(model, text[30_000:])[1:].mean() == pytest.approx(math.log(2) / 2, abs=0.005)


def test_a_text_that_says_nothing_leaves_the_uniform_distribution() -> None:
    nothing = train(np.empty(0, dtype=np.uint8), 3, 4)
    assert nats(nothing, BY_HAND).tolist() == pytest.approx([math.log(4)] * 6)


PIECES = st.integers(0, 4)


@pytest.mark.slow
@drawn
@given(
    st.lists(PIECES, min_size=1, max_size=60),
    st.lists(PIECES, max_size=5),
    st.integers(1, 6),
    st.integers(5, 9),
)
def test_the_probabilities_after_any_context_add_up_to_one(
    text: list[int], context: list[int], order: int, vocabulary: int
) -> None:
    model = train(np.array(text), order, vocabulary)
    probabilities = distribution(model, context)
    assert math.fsum(probabilities) == pytest.approx(1, abs=1e-12)
    assert min(probabilities) > 0
