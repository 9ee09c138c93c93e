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
from reformer_seqlen.scoring.scorer import Scorer, recut, windowed
from reformer_seqlen.text.chunking import contiguous
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.tokens import Tokens
from reformer_seqlen.text.windows import NO_TARGET

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


UNIFORM = np.full((PIECES, PIECES), 1 / PIECES)


def split_of(ids: Any, *, length: int = LENGTH, row: int | None = None) -> Split:
    """A text of these pieces, of two bytes each, in rows of so many pieces or one."""
    tokens, begins = np.asarray(ids, dtype=np.uint8), np.array([0])
    windows = contiguous(len(tokens), length, every_token=True)
    sizes = np.full(len(tokens), 2, dtype=np.uint8)
    rows = np.arange(0, len(tokens), row or len(tokens))
    return Split(Tokens(tokens, sizes, rows, begins), windows, length, "contiguous")


def scored(table: Any, split: Split) -> Scored:
    known: Any = Known(table)
    return score(known, split, batch_size=3, precision="float32", hash_seed=0)


def described(table: Any, split: Split) -> dict[str, Any]:
    found = scored(table, split)
    said = describe(split, [found.mean_nats], blocks_of(split, found.nats), unknown_id=7)
    return {**said, "accuracy": found.first.mean()}


def said_of(split: Split, folder: Path, words: int | None = None, **settings: Any) -> Any:
    """What a scorer says of a uniform model; with 4 hash rounds it knows that piece 0 comes."""
    known: Any = Known(UNIFORM)
    certain: Any = Known(np.eye(PIECES)[np.zeros(PIECES, dtype=int)] + 1e-30)
    rounds = {2: known, 4: certain}.__getitem__ if "hash_rounds" in settings else None
    scorer = Scorer(known, None, Evaluation(**settings), rounds)
    return scorer.score_split(split, "test", folder, unknown_id=7, words=words)


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
    found = described(UNIFORM, split_of(ids))
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


KEYS = ("bits_per_byte", "low", "high")


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
    # ids and sources are alike, so no window can be told from another
    assert said[None]["contexts"][16]["difference"] == dict.fromkeys(
        KEYS, pytest.approx(0, abs=1e-6)
    )
    seen = {each["up_to"]: each["tokens"] for each in said[16]["by_position"]}
    assert seen[64] == 999 - 32  # all but the first half of the first window


@pytest.mark.parametrize("length", [64, 128, 256])
@pytest.mark.parametrize("stride", [None, 32, 64])
def test_the_targets_are_the_same_for_every_length_and_stride(
    length: int, stride: int | None
) -> None:
    ids = np.random.default_rng(4).integers(0, PIECES, 777)
    split = windowed(split_of(ids, length=length), stride)
    assert split.scored_positions().tolist() == list(range(1, 777))
    _, targets = split.batch(slice(None))
    assert targets[targets != NO_TARGET].tolist() == ids[1:].tolist()


def test_a_text_of_words_costs_the_nats_of_its_pieces_a_word(tmp_path: Path) -> None:
    r"""`a b\nc d\n` under a piece for each character, by hand.

    Its 8 characters are 4 words and 2 ends of lines. All but the first are scored, 7 / 8 of the 6
    words, and each costs ln 8: 7 ln 8 over 5.25 words is ln 8 times 4 / 3, so 16.
    """
    ids = ["ab cd\n".index(character) for character in "a b\nc d\n"]
    found = said_of(split_of(ids, length=7), tmp_path, words=6)
    assert found["word_perplexity"] == pytest.approx(16)
    assert "word_perplexity" not in said_of(split_of(ids, length=7), tmp_path)


def test_what_is_not_scored_has_no_part_in_the_words(tmp_path: Path) -> None:
    """Of a text of five pieces a word, any targets cost ln 8 five times a word."""
    split = split_of(np.arange(400) % PIECES, row=100)
    blocks = recut(split, "published")
    assert len(blocks.scored_positions()) == 4 * 63
    for each in (split, blocks):
        assert said_of(each, tmp_path, words=80)["word_perplexity"] == pytest.approx(8**5)


def test_other_hash_rounds_are_scored_on_the_same_targets(tmp_path: Path) -> None:
    found = said_of(split_of(np.zeros(300)), tmp_path, hash_rounds=[2, 4])
    assert found["hash_rounds"] == {
        2: {**{key: found[key] for key in KEYS}, "difference": dict.fromkeys(KEYS, 0)},
        4: {
            **dict.fromkeys(KEYS, pytest.approx(0, abs=1e-6)),
            "difference": dict.fromkeys(KEYS, pytest.approx(-1.5)),
        },
    }
    assert found["bits_per_byte"] == pytest.approx(1.5)
    assert "hash_rounds" not in said_of(split_of(np.zeros(300)), tmp_path)


def test_another_protocol_is_scored_in_its_own_windows(tmp_path: Path) -> None:
    """Four shards of a row of 100 pieces hold a block of 64 each, which has 63 targets."""
    split = split_of(np.arange(400) % PIECES, row=100)
    found = said_of(split, tmp_path, protocols=["contiguous", "published"])
    assert found["tokens"] == 399
    assert found["protocols"] == {
        "published": {
            "bits_per_byte": pytest.approx(1.5),
            "low": pytest.approx(1.5),
            "high": pytest.approx(1.5),
            "perplexity": pytest.approx(8),
            "tokens": 252,
        }
    }
    back = said_of(recut(split, "published"), tmp_path, protocols=["contiguous", "published"])
    assert back["tokens"] == 252
    assert back["protocols"]["contiguous"]["tokens"] == 399
    rescored = np.load(tmp_path / "test.contiguous.blocks.npy")
    whole = blocks_of(split, np.full(399, 3 * np.log(2)))
    np.testing.assert_allclose(rescored, whole, rtol=1e-6)
    assert "protocols" not in said_of(split, tmp_path)


def test_a_protocol_under_which_no_window_fits_has_no_score(tmp_path: Path) -> None:
    split = split_of(np.arange(200) % PIECES, row=50)
    found = said_of(split, tmp_path, protocols=["published"])["protocols"]["published"]
    assert found.pop("tokens") == 0
    assert found == dict.fromkeys(("bits_per_byte", "low", "high", "perplexity"))


def test_loss_by_position_is_put_together_from_power_to_power() -> None:
    """A text of 65 pieces, one window: contexts of 1 to 64."""
    split = split_of(np.zeros(65))
    found = nats_by_position(split, np.arange(1.0, 65.0))
    assert [each["up_to"] for each in found] == [1, 2, 4, 8, 16, 32, 64]
    assert [each["tokens"] for each in found] == [1, 1, 2, 4, 8, 16, 32]
    assert found[2]["nats"] == 3.5
