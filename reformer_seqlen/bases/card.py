"""The model card of a base model."""

from typing import Any

from transformers import PreTrainedModel

from reformer_seqlen.models.causal import parameter_counts
from reformer_seqlen.parameters.model_options import REFORMER


def card(name: str, model: PreTrainedModel, origin: dict[str, Any]) -> dict[str, Any]:
    """A model's shape, its parameters as counted from the weights, and its origin.

    Only a Reformer has `layers` of several kinds, and a state-space model has no heads.
    """
    config = model.config
    reformer = config.model_type == REFORMER
    return {
        "model": name,
        "model_type": config.model_type,
        "parameters": parameter_counts(model),
        "layers": list(config.attn_layers) if reformer else int(config.num_hidden_layers),
        "hidden_size": config.hidden_size,
        "num_attention_heads": getattr(config, "num_attention_heads", None),
        "vocabulary": config.vocab_size,
        "pretraining": None,
        "checkpoint": None,
        **origin,
    }
