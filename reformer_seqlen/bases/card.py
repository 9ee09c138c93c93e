"""The model card of a base model."""

from typing import Any

from transformers import PreTrainedModel

from reformer_seqlen.models.causal import parameter_counts
from reformer_seqlen.models.configurations import language_part
from reformer_seqlen.parameters.model_options import REFORMER


def card(name: str, model: PreTrainedModel, origin: dict[str, Any]) -> dict[str, Any]:
    """A model's shape, its parameters as counted from the weights, and its origin.

    Only a Reformer has `layers` of several kinds, and a state-space model has no heads. Of a model
    that sees or hears as well, the shape is its language model's.
    """
    whole, part = model.config, language_part(model.config)
    reformer = whole.model_type == REFORMER
    return {
        "model": name,
        "model_type": whole.model_type,
        "parameters": parameter_counts(model),
        "layers": list(whole.attn_layers) if reformer else int(part.num_hidden_layers),
        "hidden_size": part.hidden_size,
        "num_attention_heads": getattr(part, "num_attention_heads", None),
        "vocabulary": part.vocab_size,
        "pretraining": None,
        "checkpoint": None,
        **origin,
    }
