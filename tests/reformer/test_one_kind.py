"""Models all of whose layers are local, or all hashed, do whatever mixed ones do."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ReformerConfig

from reformer_seqlen.memory.fit import length_unit
from reformer_seqlen.memory.prediction import (
    predict,
    reformer_training_memory,
    stock_reformer,
    trace_inference,
)
from reformer_seqlen.reformer.activations import recomputes
from reformer_seqlen.reformer.model import Reformer, hash_buckets, load_reformer
from tests.reformer_example import random_ids, small_config, small_reformer

NOTHING_HASHED: dict[str, Any] = {
    "lsh_attn_chunk_length": None,
    "lsh_num_chunks_before": None,
    "lsh_num_chunks_after": None,
    "lsh_attention_probs_dropout_prob": None,
    "num_buckets": None,
}
"""What published all-local models have in their configurations."""
KINDS = [
    pytest.param("local", NOTHING_HASHED, id="local"),
    pytest.param("lsh", {"num_buckets": None}, id="lsh"),
]


@pytest.mark.slow
@pytest.mark.parametrize("causality", ["strict", "published"])
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_they_train_score_and_generate(kind: str, settings: dict[str, Any], causality: str) -> None:
    model = small_reformer(kind, lsh_causality=causality, **settings).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids, losses = random_ids(2, 64), []
    for step in range(8):
        model.set_hash_draw(0, step)
        loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    with torch.no_grad():
        assert model.eval()(ids[:, :50]).logits.shape == (2, 50, 40)
    drawn = model.generate(ids[:, :20], max_new_tokens=5, do_sample=False, eos_token_id=None)
    assert drawn.shape == (2, 25)


@pytest.mark.parametrize("implementation", ["reformer-seqlen", "transformers"])
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_they_are_saved_and_loaded(
    kind: str, settings: dict[str, Any], implementation: Any, tmp_path: Path
) -> None:
    small_reformer(kind, **settings).save_pretrained(tmp_path)
    model = load_reformer(
        tmp_path,
        implementation=implementation,
        sequence_length=64,
        positions="published",
        lsh_causality="published",
    )
    assert hash_buckets(model) == (8 if kind == "lsh" else None)
    ids = random_ids(2, 64)
    model.set_hash_draw(0)
    model.train()(ids, labels=ids).loss.backward()


def ours(config: ReformerConfig, reversible: bool) -> Reformer:
    """Our model of a configuration."""
    chosen = ReformerConfig.from_dict(config.to_dict())
    chosen.reversible = "on" if reversible else "off"
    return Reformer(chosen)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_their_memory_is_predicted(kind: str, settings: dict[str, Any]) -> None:
    config = small_config(kind, **settings)
    assert length_unit(config) % 16 == 0
    assert not recomputes("auto", config, 64, torch.device("cpu"))
    for build in (ours, stock_reformer):
        kept, computed_again = (
            reformer_training_memory(
                config, 8, 256, reversible=reversible, build_reformer=build
            ).allocated
            for reversible in (False, True)
        )
        assert kept > computed_again
    inference = predict(trace_inference(lambda: Reformer(config), 2, 64))
    assert inference.allocated > 0
