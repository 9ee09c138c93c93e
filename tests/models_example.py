"""Small models of several kinds, of about the same size."""

from pathlib import Path
from typing import Any

import torch

from reformer_seqlen.bases.architecture import architecture
from reformer_seqlen.models.causal import create
from reformer_seqlen.models.configurations import Config, configuration
from reformer_seqlen.parameters.model_options import AttentionOptions, options_for
from reformer_seqlen.parameters.models import Model
from tests.tokenizer_example import byte_level

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
ALL = {**KINDS, **OTHERS}
VOCABULARY = 40


def declared(kind: str, **changes: Any) -> Model:
    """A base model of a kind as params.yaml declares it, with changes of its architecture."""
    return Model.model_validate(
        {
            "options": {},
            "pretraining": {
                "file": {"kind": "path", "path": "mine.txt", "licence": "my own"},
                "format": "lines",
                "pieces": VOCABULARY,
                "sequence_length": 128,
                "train": {},
                "architecture": {"model_type": kind, **ALL.get(kind, {}), **changes},
            },
        }
    )


def configured(kind: str, **changes: Any) -> Config:
    """The configuration that is made of it."""
    model = declared(kind, **changes)
    assert model.pretraining is not None
    return architecture("mine", model, model.pretraining)


def made(kind: str, attention: str | None = None, **changes: Any) -> Any:
    """A model with weights from a fixed seed."""
    torch.manual_seed(0)
    options = {} if attention is None else {"attention": attention}
    return create(configured(kind, **changes), options_for(kind, options, "models.mine.options"))


def save_checkpoint(folder: Path) -> None:
    """A checkpoint of one's own: a llama with the tokenizer.json that it was made with."""
    folder.mkdir()
    vocabulary = byte_level(folder).get_vocab_size()
    torch.manual_seed(0)
    values = {"model_type": "llama", **KINDS["llama"], "vocab_size": vocabulary}
    create(configuration(values, str(folder)), AttentionOptions()).save_pretrained(folder)
