"""What a loss means, and what is known of a split before it is scored."""

import math

import numpy as np
import pytest

from reformer_seqlen.scoring.measures import (
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
