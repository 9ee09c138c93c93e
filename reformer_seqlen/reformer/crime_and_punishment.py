"""The default architecture, that of google/reformer-crime-and-punishment."""

from typing import Any

CRIME_AND_PUNISHMENT: dict[str, Any] = {
    "attn_layers": ["local", "lsh", "local", "lsh", "local", "lsh"],
    "hidden_size": 256,
    "num_attention_heads": 2,
    "attention_head_size": 64,
    "feed_forward_size": 512,
    "hidden_act": "relu",
    "axial_pos_shape": [512, 1024],
    "axial_pos_embds_dim": [64, 192],
    "max_position_embeddings": 524288,
    "num_buckets": [64, 128],
    "num_hashes": 1,
    "lsh_attn_chunk_length": 64,
    "local_attn_chunk_length": 64,
    "hidden_dropout_prob": 0.05,
    "local_attention_probs_dropout_prob": 0.05,
    "lsh_attention_probs_dropout_prob": 0.0,
    "is_decoder": True,
    "pad_token_id": 0,
    "eos_token_id": 2,
}
"""Its config.json without the vocabulary's size, as arguments of ReformerConfig."""
