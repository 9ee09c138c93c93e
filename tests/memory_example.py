"""The study's models, published rows and GPU, and a small study to run in seconds."""

from typing import Any

from reformer_seqlen.parameters.memory import MemoryStudy

REFORMER_CP: dict[str, Any] = {
    "model_type": "reformer",
    "attn_layers": ["local", "lsh"] * 3,
    "hidden_size": 256,
    "num_attention_heads": 2,
    "attention_head_size": 64,
    "feed_forward_size": 512,
    "vocab_size": 320,
    "num_hashes": 1,
    "num_buckets": [64, 128],
    "lsh_attn_chunk_length": 64,
    "local_attn_chunk_length": 64,
    "max_position_embeddings": 524288,
    "axial_pos_shape": [512, 1024],
    "axial_pos_embds_dim": [64, 192],
    "is_decoder": True,
    "hidden_act": "relu",
}
REFORMER_EN8 = REFORMER_CP | {
    "attn_layers": ["local", "local", "lsh", "local"] * 3,
    "hidden_size": 1024,
    "num_attention_heads": 8,
    "attention_head_size": 128,
    "feed_forward_size": 4096,
    "vocab_size": 258,
    "num_hashes": 4,
    "num_buckets": 512,
    "lsh_attn_chunk_length": 256,
    "local_attn_chunk_length": 128,
    "max_position_embeddings": 65536,
    "axial_pos_shape": [128, 512],
    "axial_pos_embds_dim": [256, 768],
}
TINY_REFORMER = REFORMER_CP | {
    "attn_layers": ["local", "lsh"],
    "hidden_size": 64,
    "attention_head_size": 32,
    "feed_forward_size": 128,
    "num_buckets": 8,
    "max_position_embeddings": 4096,
    "axial_pos_shape": [16, 256],
    "axial_pos_embds_dim": [16, 48],
}
TINY_GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "n_layer": 2,
    "n_embd": 64,
    "n_head": 2,
    "vocab_size": 320,
    "attn_implementation": "eager",
}
TINY_LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "attn_implementation": "eager",
}
_SMALL: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "vocab_size": 320,
    "attn_implementation": "eager",
}
OTHERS: dict[str, dict[str, Any]] = {
    "bloom": {"model_type": "bloom", **_SMALL},
    "gemma2": {
        "model_type": "gemma2",
        **_SMALL,
        "intermediate_size": 128,
        "num_key_value_heads": 2,
        "head_dim": 16,
    },
    "gpt_neox": {"model_type": "gpt_neox", **_SMALL, "intermediate_size": 128},
    "mamba": {"model_type": "mamba", "num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 320},
    "mistral": {
        "model_type": "mistral",
        **_SMALL,
        "intermediate_size": 128,
        "num_key_value_heads": 2,
        "sliding_window": 128,
    },
    "mixtral": {
        "model_type": "mixtral",
        **_SMALL,
        "intermediate_size": 128,
        "num_key_value_heads": 2,
        "num_local_experts": 4,
    },
    "opt": {"model_type": "opt", **_SMALL, "ffn_dim": 128, "dropout": 0.0},
}
"""Small models of other families."""
_FUSED = _SMALL | {"attn_implementation": "sdpa", "intermediate_size": 128}
FUSED: dict[str, dict[str, Any]] = {
    # One head of keys for all queries, spread over them by broadcasting.
    "falcon": {"model_type": "falcon", **_SMALL, "attn_implementation": "sdpa"},
    "grouped queries": {"model_type": "llama", **_FUSED, "num_key_value_heads": 2},
    "a head a query": {"model_type": "llama", **_FUSED, "num_key_value_heads": 4},
    "a sliding window": {
        "model_type": "mistral",
        **_FUSED,
        "num_key_value_heads": 2,
        "sliding_window": 128,
    },
    "windows and grouped queries": {
        "model_type": "gemma3_text",
        **_FUSED,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"],
    },
}
"""Small models whose attention is torch's scaled_dot_product_attention, with several kernels."""
TINY_SEEING: dict[str, Any] = {
    "model_type": "gemma3",
    "text_config": {
        **_FUSED,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
    },
    "vision_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
    },
    "mm_tokens_per_image": 4,
}
"""A small model that has a configuration for what it sees and one for what it says."""
NO_DROPOUT: dict[str, dict[str, Any]] = {
    "reformer": {
        "hidden_dropout_prob": 0.0,
        "local_attention_probs_dropout_prob": 0.0,
        "lsh_attention_probs_dropout_prob": 0.0,
    },
    "gpt2": {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0},
}

PUBLISHED: dict[tuple[str, str], dict[int, int]] = {
    ("reformer-cp", "learned"): {256: 1523, 512: 1603, 2048: 2055, 16384: 6327},
    ("reformer-cp", "axial"): {256: 1015, 512: 1095, 2048: 1551, 16384: 6057},
    ("reformer-en8", "learned"): {256: 2197, 512: 5079, 1024: 8407, 2048: 15063},
    ("gpt2", "own"): {256: 3063, 512: 4761, 1024: 8827},
}
"""MiB at batch 16, by model and positions, then length."""


def row_name(model: str, positions: str, length: int) -> str:
    """What the published row is called here."""
    return f"{model}-{positions}-{length}"


def memory_values() -> dict[str, Any]:
    """The `memory` section of a params.yaml with the published rows and some small ones."""
    rows: dict[str, dict[str, Any]] = {
        row_name(model, positions, length): {
            "model": model,
            "positions": positions,
            "batch_size": 16,
            "sequence_length": length,
            **({"allocations": 2021} if model == "gpt2" else {}),
        }
        for (model, positions), lengths in PUBLISHED.items()
        for length in lengths
    }
    small = {"model": "tiny", "batch_size": 16, "sequence_length": 256}
    rows |= {
        "tiny": small | {"measure": True},
        "too-long": small | {"sequence_length": 4160},
        "gpt2-2048": {"model": "gpt2", "batch_size": 16, "sequence_length": 2048},
        "today": {"model": "gpt2", "batch_size": 16, "sequence_length": 256},
    }
    return {
        "models": {
            "reformer-cp": REFORMER_CP,
            "reformer-en8": REFORMER_EN8,
            "gpt2": {"model_type": "gpt2"},
            "tiny": TINY_REFORMER,
            "tiny-gpt2": TINY_GPT2,
        },
        "rows": rows,
        "gpus": {
            "colab": {"memory_mib": 1500, "context_mib": 919},
            "small": {"memory_mib": 1000, "context_mib": 500},
        },
        "gpu": "colab",
        "limits": {"seconds": 60, "mib": 1024},
        "fits": ["tiny"],
        "training": {
            "curves": {"reversible": {"model": "tiny"}, "gpt2": {"model": "tiny-gpt2"}},
            "layers": [2, 4],
            "sequence_lengths": [128, 256],
            "batch_size": 2,
            "optimizer": "adafactor",
        },
    }


def memory_study(**changes: Any) -> MemoryStudy:
    """The same as a typed object, with other values for some keys."""
    return MemoryStudy.model_validate(memory_values() | changes)
