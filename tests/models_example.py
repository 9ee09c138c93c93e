"""Small models of several kinds, of about the same size."""

from typing import Any

KINDS: dict[str, dict[str, Any]] = {
    "reformer": {
        "attn_layers": ["local", "lsh"],
        "hidden_size": 32,
        "attention_head_size": 16,
        "num_attention_heads": 2,
        "feed_forward_size": 64,
        "axial_pos_shape": [8, 32],
        "axial_pos_embds_dim": [8, 24],
        "max_position_embeddings": 256,
    },
    "gpt2": {"n_layer": 2, "n_embd": 32, "n_head": 2, "n_positions": 256},
    "llama": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
    },
    "mamba2": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_heads": 4,
        "head_dim": 16,
        "state_size": 16,
        "n_groups": 1,
    },
}
"""Values of `architecture` by model_type; gpt2 drops out as its configuration class says."""
OTHERS: dict[str, dict[str, Any]] = {
    "qwen3": {**KINDS["llama"], "num_key_value_heads": 1, "head_dim": 16},
    "mistral": {**KINDS["llama"], "num_key_value_heads": 1},
    "opt": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 64,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 256,
    },
    "gpt_neox": KINDS["llama"],
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2},
    "recurrent_gemma": {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "lru_width": 32,
    },
}
"""More kinds that are built from a configuration alone."""
