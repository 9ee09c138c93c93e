"""Scoring: sums over tokens, exact against counting and against a plain loop."""

import math

import numpy as np
import pytest
import torch
from transformers import ReformerConfig

from reformer_seqlen.reformer.model import Reformer, create_reformer
from reformer_seqlen.scoring.loss import mean_nats, nats
from reformer_seqlen.scoring.measures import (
    bits_per_byte,
    describe_targets,
    perplexity,
    unigram_nats,
)
from reformer_seqlen.text.chunking import contiguous, published
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.tokens import Tokens
from reformer_seqlen.text.windows import NO_TARGET

LENGTH = 64


@pytest.fixture(scope="module")
def model() -> Reformer:
    torch.manual_seed(0)
    config = ReformerConfig(
        attn_layers=["local", "lsh"],
        hidden_size=32,
        attention_head_size=16,
        num_attention_heads=2,
        feed_forward_size=64,
        vocab_size=40,
        axial_pos_shape=[4, 32],
        axial_pos_embds_dim=[8, 24],
        max_position_embeddings=128,
        is_decoder=True,
        lsh_causality="strict",
    )
    return create_reformer(config)


@pytest.fixture(scope="module")
def split() -> Split:
    """450 tokens, so that the last window overlaps the one before it."""
    generator = np.random.default_rng(1)
    ids = generator.integers(0, 40, 450).astype(np.uint8)
    piece_bytes = generator.integers(1, 5, 450).astype(np.uint8)
    begins = np.arange(0, 450, 10)
    windows = contiguous(450, LENGTH, every_token=True)
    return Split(Tokens(ids, piece_bytes, begins, begins[:1]), windows, LENGTH, "contiguous")


def test_two_equally_likely_pieces_have_an_entropy_of_ln_2() -> None:
    assert unigram_nats(np.array([5, 0, 5])) == pytest.approx(math.log(2))


def test_bits_per_byte_by_hand() -> None:
    assert bits_per_byte(math.log(2) * 12, 4) == pytest.approx(3.0)


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


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_mean_equals_a_plain_loop_for_every_batch_size(
    model: Reformer, split: Split, batch_size: int
) -> None:
    found = mean_nats(model, split, batch_size=batch_size, precision="float32", hash_seed=5)
    model.eval().set_hash_draw(5)
    by_hand = 0.0
    for window in range(len(split.windows)):
        inputs, targets = split.batch(slice(window, window + 1))
        with torch.no_grad():
            shares = model(inputs, use_cache=False).logits.double().log_softmax(-1)
        for position, target in enumerate(targets[0].tolist()):
            if target != NO_TARGET:
                by_hand -= shares[0, position, target].item()
    assert found == pytest.approx(by_hand / len(split.scored_positions()), rel=1e-5)


def test_scoring_leaves_the_random_state_and_the_mode_as_they_were(
    model: Reformer, split: Split
) -> None:
    model.train()
    before = torch.get_rng_state()
    mean_nats(model, split, batch_size=4, precision="float32", hash_seed=5)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)


def test_unscored_targets_weigh_nothing() -> None:
    logits = torch.zeros(1, 3, 4)
    targets = torch.tensor([[1, NO_TARGET, 2]])
    assert nats(logits, targets, "sum").item() == pytest.approx(2 * math.log(4))
    assert nats(logits, targets).item() == pytest.approx(math.log(4))
