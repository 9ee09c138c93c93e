"""The Reformer: stock checkpoints, our own arithmetic, equal to stock by test.

A model is made of transformers' configuration, and is used as transformers' own models are:

>>> import torch
>>> from transformers import ReformerConfig
>>> from reformer_seqlen.reformer import Reformer
>>> config = ReformerConfig(
...     attn_layers=["local", "lsh"], hidden_size=64, num_attention_heads=2,
...     attention_head_size=32, feed_forward_size=128, vocab_size=320, num_buckets=8,
...     max_position_embeddings=4096, axial_pos_shape=[16, 256], axial_pos_embds_dim=[16, 48],
...     is_decoder=True,
... )
>>> model = Reformer(config)
>>> text = torch.randint(320, (2, 256))  # 2 texts of 256 pieces
>>> model(text, labels=text).loss.backward()
>>> model.eval().generate(text[:, :200], max_new_tokens=20, do_sample=True).shape
torch.Size([2, 220])

No logits depend on later tokens, as they do in transformers' own lsh layers:

>>> with torch.no_grad():
...     before = model(text).logits[:, :100]
...     text[:, 100:] = 0
...     torch.equal(model(text).logits[:, :100], before)
True

For a guided tour: `model` (checkpoints to models), `language_model` (the forward pass), `inputs`
(texts and their padding), `plan` (masks and rotations), `embedding`, `streams` (through all layers
to logits), `layers` (the branches of a layer), `chunked_attention`,
`hashed_attention` with `hash_order` (who sees whom), `hashing` (buckets) and `hash_rules` (how
many), `axial_positions`, `generation` with `step`. What makes it fast: `dense`, `dropout`,
`side_by_side`, `precision`, `activations` with `reversible`. What gives that up for adapters and
hooks: `called`. What makes it repeatable: `draws`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reformer_seqlen.reformer.language_model import Reformer

__all__ = ["Reformer"]


def __getattr__(name: str) -> Any:
    """Import `Reformer` when it is asked for: torch and transformers take seconds to load."""
    if name == "Reformer":
        from reformer_seqlen.reformer.language_model import Reformer

        return Reformer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
