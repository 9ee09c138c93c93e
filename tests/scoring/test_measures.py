"""What a loss means, and what is known of a split before it is scored."""

import math

import numpy as np
import pytest

from reformer_seqlen.scoring.measures import (
    beside,
    describe_targets,
    perplexity,
    unigram_nats,
)
from reformer_seqlen.text.chunking import published
from reformer_seqlen.text.splits import Split
from tests.scoring.conftest import LENGTH


def test_two_equally_likely_pieces_have_an_entropy_of_ln_2() -> None:
    assert unigram_nats(np.array([5, 0, 5])) == pytest.approx(math.log(2))


def test_the_perplexity_of_no_finite_loss_is_none() -> None:
    assert perplexity(math.log(7)) == pytest.approx(7)
    assert perplexity(math.inf) is None
    assert perplexity(math.nan) is None
    assert perplexity(1e6) is None


def test_what_all_blocks_lose_alike_is_sure_though_the_scores_are_not() -> None:
    """Two blocks of 8 bytes, 1 and 3 bits a byte; scored otherwise, each costs half a bit more."""
    own = math.log(2) * np.array([[8.0, 8 / math.log(2)], [24.0, 8 / math.log(2)]])
    other = own + np.array([math.log(2) * 4, 0])
    found = beside(other, own)
    assert found["bits_per_byte"] == pytest.approx(2.5)
    assert found["high"] - found["low"] == pytest.approx(2)
    assert found["difference"] == {
        key: pytest.approx(0.5) for key in ("bits_per_byte", "low", "high")
    }


@pytest.mark.filterwarnings("ignore:invalid value")
def test_scores_of_other_targets_or_without_a_number_have_no_difference() -> None:
    own = np.array([[8.0, 8.0], [24.0, 8.0]])
    for other in (own[:1], own + 1, np.full((2, 2), [math.inf, 8])):
        assert beside(other, own)["difference"] is None


def test_targets_are_every_token_but_the_first(split: Split) -> None:
    target = describe_targets(split, unknown_id=3)
    assert target.tokens == 449
    assert target.bytes == int(split.tokens.piece_bytes[1:].sum())
    assert target.unknown == int((split.tokens.ids[1:] == 3).sum())
    shares = np.unique(split.tokens.ids[1:], return_counts=True)[1] / 449
    assert target.unigram_nats == pytest.approx(-sum(s * math.log(s) for s in shares))


def test_a_published_block_scores_all_but_its_first_token(split: Split) -> None:
    windows = published(split.tokens.rows, 450, LENGTH)
    blocks = Split(split.tokens, windows, LENGTH, "published")
    expected = [p for start in windows.starts for p in range(start + 1, start + LENGTH)]
    assert blocks.scored_positions().tolist() == expected
