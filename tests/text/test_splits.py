"""A split with windows: what is scored when special tokens stand before documents."""

import math

import numpy as np
import pytest

from reformer_seqlen.parameters.common.quantities import Policy
from reformer_seqlen.scoring.measures import describe_targets
from reformer_seqlen.text.chunking import cut
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.tokens import Tokens
from reformer_seqlen.text.windows import NO_TARGET

LENGTH = 64
START, UNKNOWN = 0, 3


@pytest.fixture
def tokens() -> Tokens:
    """400 tokens in documents of 10, each after a special token that stands for no bytes."""
    ids = np.random.default_rng(0).integers(1, 9, 400).astype(np.uint8)
    documents = np.arange(0, 400, 10)
    ids[documents] = START
    piece_bytes = np.where(ids == START, 0, 2).astype(np.uint8)
    return Tokens(ids, piece_bytes, documents, documents, context=documents)


@pytest.mark.parametrize("policy", ["contiguous", "published"])
def test_special_tokens_are_read_and_never_a_target(tokens: Tokens, policy: Policy) -> None:
    windows = cut(policy, tokens.rows, len(tokens), LENGTH, every_token=True)
    split = Split(tokens, windows, LENGTH, policy)
    inputs, targets = split.batch(slice(None))
    assert START in inputs
    assert START not in targets
    scored = split.scored_positions()
    assert tokens.ids[scored].tolist() == targets[targets != NO_TARGET].tolist()


def test_measures_count_what_is_scored(tokens: Tokens) -> None:
    windows = cut("contiguous", tokens.rows, len(tokens), LENGTH, every_token=True)
    target = describe_targets(Split(tokens, windows, LENGTH, "contiguous"), UNKNOWN)
    pieces = tokens.ids[tokens.ids != START]
    assert (target.tokens, target.bytes) == (360, 720)
    assert target.unknown == (pieces == UNKNOWN).sum()
    shares = np.unique(pieces, return_counts=True)[1] / 360
    assert target.unigram_nats == pytest.approx(-sum(s * math.log(s) for s in shares))


def test_a_tokenizer_may_know_every_text(tokens: Tokens) -> None:
    windows = cut("contiguous", tokens.rows, len(tokens), LENGTH, every_token=True)
    assert describe_targets(Split(tokens, windows, LENGTH, "contiguous"), None).unknown == 0
