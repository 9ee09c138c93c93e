"""The model card of a base model."""

from typing import Any

from transformers import PreTrainedModel

from reformer_seqlen.reformer.model import parameter_counts


def card(name: str, model: PreTrainedModel, origin: dict[str, Any]) -> dict[str, Any]:
    """A model's shape, its parameters as counted from the weights, and its origin."""
    config = model.config
    return {
        "model": name,
        "parameters": parameter_counts(model),
        "layers": list(config.attn_layers),
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_attention_heads,
        "vocabulary": config.vocab_size,
        "pretraining": None,
        "checkpoint": None,
        **origin,
    }
