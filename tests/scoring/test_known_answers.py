"""Every measure on a model whose answer is known."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.scoring.loss import Scored, score
from reformer_seqlen.scoring.measures import blocks_of, describe, nats_by_position
from reformer_seqlen.scoring.scorer import Scorer
from reformer_seqlen.text.chunking import contiguous
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.tokens import Tokens

PIECES = 8
LENGTH = 64


class Known(nn.Module):
    """A model that predicts by a table: a row of probabilities for each piece before."""

    def __init__(self, table: Any) -> None:
        super().__init__()
        self.logs = nn.Parameter(torch.tensor(table).log())

    def forward(self, ids: Tensor, **_: Any) -> Any:
        """Logits (batch, length, pieces)."""
        return SimpleNamespace(logits=self.logs[ids])


def split_of(ids: Any, *, length: int = LENGTH) -> Split:
    """A text of these pieces, of two bytes each."""
    tokens, begins = np.asarray(ids, dtype=np.uint8), np.array([0])
    windows = contiguous(len(tokens), length, every_token=True)
    sizes = np.full(len(tokens), 2, dtype=np.uint8)
    return Split(Tokens(tokens, sizes, begins, begins), windows, length, "contiguous")


def scored(table: Any, split: Split) -> Scored:
    known: Any = Known(table)
    return score(known, split, batch_size=3, precision="float32", hash_seed=0)


def described(table: Any, split: Split) -> dict[str, Any]:
    found = scored(table, split)
    said = describe(split, [found.mean_nats], blocks_of(split, found.nats), unknown_id=7)
    return {**said, "accuracy": found.first.mean()}


def bigram_source(count: int) -> tuple[Any, Any, float]:
    """A Markov chain's text and table, and its entropy rate in nats."""
    generator = np.random.default_rng(3)
    table = generator.dirichlet(np.full(PIECES, 0.3), size=PIECES)
    ids = [0]
    for _ in range(count - 1):
        ids.append(int(generator.choice(PIECES, p=table[ids[-1]])))
    values, vectors = np.linalg.eig(table.T)
    steady = np.real(vectors[:, np.argmax(np.real(values))])
    steady /= steady.sum()
    rows = -(table * np.log(np.maximum(table, 1e-300))).sum(axis=1)
    return ids, table, float(steady @ rows)


def test_a_uniform_model_has_the_vocabularys_perplexity() -> None:
    ids = np.random.default_rng(0).integers(0, PIECES, 1000)
    found = described(np.full((PIECES, PIECES), 1 / PIECES), split_of(ids))
    assert found["perplexity"] == pytest.approx(PIECES)
    assert found["bits_per_byte"] == pytest.approx(3 / 2)
    assert (found["low"], found["high"]) == pytest.approx((1.5, 1.5))
    assert found["unknown_rate"] == pytest.approx(np.mean(ids[1:] == 7))


def test_a_unigram_model_has_the_entropy_of_the_counts() -> None:
    ids = np.random.default_rng(1).choice(PIECES, 2000, p=np.arange(1, 9) / 36)
    shares = np.bincount(ids[1:], minlength=PIECES) / 1999
    found = described(np.tile(shares, (PIECES, 1)), split_of(ids))
    assert found["perplexity"] == pytest.approx(found["unigram_perplexity"], rel=1e-6)
    assert found["accuracy"] == pytest.approx(shares.max())


def test_a_sequence_without_surprise_costs_nothing() -> None:
    found = described(np.roll(np.eye(PIECES), 1, axis=1) + 1e-30, split_of(np.arange(1000) % 8))
    assert found["perplexity"] == pytest.approx(1)
    assert found["bits_per_byte"] == pytest.approx(0, abs=1e-6)
    assert found["accuracy"] == 1


def test_a_bigram_source_costs_its_entropy_rate_within_the_interval() -> None:
    ids, table, entropy_rate = bigram_source(20_000)
    found = described(table, split_of(ids))
    assert found["loss_nats"] == pytest.approx(entropy_rate, rel=0.03)
    assert found["low"] < entropy_rate / math.log(2) / 2 < found["high"]


def test_overlapping_windows_score_the_same_targets(tmp_path: Path) -> None:
    """A bigram model needs one piece of context, which every target but the first has anyway."""
    ids, table, _ = bigram_source(1000)
    known: Any = Known(table)
    said = {}
    for stride in (None, 16):
        folder = tmp_path / str(stride)
        folder.mkdir()
        scorer = Scorer(known, None, Evaluation(stride=stride, contexts=[16, LENGTH]))
        said[stride] = scorer.score_split(split_of(ids), "test", folder, unknown_id=7)
    one, other = (np.load(tmp_path / f"{stride}/test.nats.npy") for stride in said)
    assert one.tolist() == other.tolist()
    assert said[None]["bits_per_byte"] == said[16]["bits_per_byte"]
    assert list(said[None]["contexts"]) == [16]  # LENGTH is the run's own
    assert said[None]["contexts"][16]["bits_per_byte"] == pytest.approx(
        said[None]["bits_per_byte"], rel=1e-6
    )
    seen = {each["up_to"]: each["tokens"] for each in said[16]["by_position"]}
    assert seen[64] == 999 - 32  # all but the first half of the first window


def test_loss_by_position_is_put_together_from_power_to_power() -> None:
    """A text of 65 pieces, one window: contexts of 1 to 64."""
    split = split_of(np.zeros(65))
    found = nats_by_position(split, np.arange(1.0, 65.0))
    assert [each["up_to"] for each in found] == [1, 2, 4, 8, 16, 32, 64]
    assert [each["tokens"] for each in found] == [1, 1, 2, 4, 8, 16, 32]
    assert found[2]["nats"] == 3.5
