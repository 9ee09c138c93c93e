"""The loss of a model on a split."""

import itertools
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import ReformerConfig

from reformer_seqlen.reformer.model import Reformer, create_reformer
from reformer_seqlen.runtime import shards
from reformer_seqlen.scoring.loss import nats, score
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.windows import NO_TARGET


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


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_mean_equals_a_plain_loop_for_every_batch_size(
    model: Reformer, split: Split, batch_size: int
) -> None:
    found = score(model, split, batch_size=batch_size, precision="float32", hash_seed=5)
    model.eval().set_hash_draw(5)
    by_hand = 0.0
    for window in range(len(split.windows)):
        inputs, targets = split.batch(slice(window, window + 1))
        with torch.no_grad():
            shares = model(inputs, use_cache=False).logits.double().log_softmax(-1)
        for position, target in enumerate(targets[0].tolist()):
            if target != NO_TARGET:
                by_hand -= shares[0, position, target].item()
    assert found.mean_nats == pytest.approx(by_hand / len(split.scored_positions()), rel=1e-5)


def test_scoring_leaves_the_random_state_and_the_mode_as_they_were(
    model: Reformer, split: Split
) -> None:
    model.train()
    before = torch.get_rng_state()
    score(model, split, batch_size=4, precision="float32", hash_seed=5)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)


def test_unscored_targets_weigh_nothing() -> None:
    logits = torch.zeros(1, 3, 4)
    targets = torch.tensor([[1, NO_TARGET, 2]])
    assert nats(logits, targets, "sum").item() == pytest.approx(2 * math.log(4))
    assert nats(logits, targets).item() == pytest.approx(math.log(4))


def test_what_was_interrupted_goes_on_from_finished_batches_to_the_same_bytes(
    model: Reformer, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_SECONDS", 0.0)
    batch, batches = Split.batch, itertools.count()

    def cut_off(self: Split, chosen: slice) -> tuple[torch.Tensor, torch.Tensor]:
        if next(batches) == 3:
            raise KeyboardInterrupt
        return batch(self, chosen)

    scored = partial(score, model, split, batch_size=2, precision="float32", hash_seed=5)
    whole = scored()
    with monkeypatch.context() as patch:
        patch.setattr(Split, "batch", cut_off)
        with pytest.raises(KeyboardInterrupt):
            scored(shards=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    found = scored(shards=tmp_path)
    assert found.nats.tobytes() == whole.nats.tobytes()
    assert found.first.tobytes() == whole.first.tobytes()
