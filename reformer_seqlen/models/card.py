"""What a base model is, for its card."""

from typing import Any

from transformers import PreTrainedModel

from reformer_seqlen.reformer.model import parameter_counts


def card(name: str, model: PreTrainedModel, origin: dict[str, Any]) -> dict[str, Any]:
    """What a model is: its shape, its parameters counted from the weights, where it is from."""
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
