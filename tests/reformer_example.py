"""Small Reformers for tests, and stock transformers' twins of them with the same rotations."""

from typing import Any

import pytest
import torch
from transformers import ReformerConfig
from transformers.models.reformer.modeling_reformer import ReformerModelWithLMHead

from reformer_seqlen.reformer.hashing import rotation_seed
from reformer_seqlen.reformer.model import Reformer

VOCABULARY = 40
KINDS = {"local": ["local", "local"], "lsh": ["lsh", "lsh"], "mixed": ["local", "lsh"]}
KINDS_AND_ROUNDS = [
    ("local", 1),
    *(
        pytest.param(kind, rounds, marks=[pytest.mark.slow] if rounds > 2 else [])
        for kind in ("lsh", "mixed")
        for rounds in (1, 2, 3, 4)
    ),
]
"""Every kind of layer with 1 to 4 hash rounds; more than two are slow tests."""
NO_DROPOUT: dict[str, Any] = {"hidden_dropout_prob": 0.0, "local_attention_probs_dropout_prob": 0.0}

DROPOUT: dict[str, Any] = {
    "hidden_dropout_prob": 0.1,
    "local_attention_probs_dropout_prob": 0.1,
    "lsh_attention_probs_dropout_prob": 0.1,
}


def small_config(kind: str = "mixed", **changes: Any) -> ReformerConfig:
    """A configuration of two small layers, with short chunks and plain positions."""
    settings: dict[str, Any] = {
        "attn_layers": KINDS[kind],
        "hidden_size": 32,
        "feed_forward_size": 48,
        "num_attention_heads": 2,
        "attention_head_size": 16,
        "vocab_size": VOCABULARY,
        "local_attn_chunk_length": 16,
        "lsh_attn_chunk_length": 16,
        "num_buckets": 8,
        "max_position_embeddings": 1024,
        "axial_pos_embds": False,
        "axial_pos_embds_dim": (8, 24),
        "is_decoder": True,
        "loss_type": "ForCausalLM",
    }
    return ReformerConfig(**{**settings, **changes})


def lively(model: Any) -> Any:
    """Larger weights: fresh ones attend to everything alike, and would hide mistakes."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def small_reformer(kind: str = "mixed", **changes: Any) -> Reformer:
    """A small model with lively weights that are always the same, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Reformer = lively(Reformer(small_config(kind, **changes)))
    model.eval()
    return model


def stock_twin(model: Reformer, seed: int = 0, step: int = 0) -> ReformerModelWithLMHead:
    """The stock model with the same weights, mode and, for this draw, rotations."""
    stock = ReformerModelWithLMHead(model.config)
    stock.load_state_dict(model.state_dict())
    for index, layer in enumerate(stock.reformer.encoder.layers):
        layer.attention.self_attention.hash_seed = rotation_seed(seed, step, index)
    model.set_hash_draw(seed, step)
    return stock.train(model.training)


def random_ids(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    """Token ids (batch, length), without 0, which `generate` takes for padding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, VOCABULARY, (batch, length), generator=generator)


def padding_mask(kind: str, batch: int, length: int) -> torch.Tensor | None:
    """A mask (batch, length) with 0 at some padding: none, left, right or both."""
    if kind == "none":
        return None
    mask = torch.ones(batch, length, dtype=torch.long)
    if kind in ("left", "both"):
        mask[0, : length // 5] = 0
    if kind in ("right", "both"):
        mask[-1, -(length // 3) :] = 0
    return mask
