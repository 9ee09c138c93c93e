"""Which model configurations are refused, and why."""

from typing import Any

from transformers import ReformerConfig

from reformer_seqlen.reformer.hash_order import Causality
from reformer_seqlen.reformer.hashing import bucket_factors
from reformer_seqlen.runtime.messages import reformer as messages

DROPOUTS = (
    "hidden_dropout_prob",
    "local_attention_probs_dropout_prob",
    "lsh_attention_probs_dropout_prob",
)


def option(config: ReformerConfig, name: str, allowed: tuple[str, ...], default: str) -> Any:
    """The value of a setting that stock's configuration does not have."""
    value = getattr(config, name, None) or default
    if value not in allowed:
        raise messages.not_allowed(name, value, allowed)
    return value


def check_configuration(config: ReformerConfig, causality: Causality) -> None:
    """Refuse what this implementation can't do."""
    if config.hidden_act != "relu":
        raise messages.another_activation(config.hidden_act)
    if not config.is_decoder:
        raise messages.no_decoder()
    for name in ("local_num_chunks_after", "lsh_num_chunks_after"):
        if getattr(config, name):
            raise messages.chunks_after(name, getattr(config, name))
    for name in DROPOUTS:
        if not 0 <= getattr(config, name) < 1:
            raise messages.no_probability(name, getattr(config, name))
    if causality == "strict" and "lsh" in config.attn_layers and config.lsh_num_chunks_before < 1:
        raise messages.no_chunk_before()
    chosen = getattr(config, "lsh_num_buckets", None)
    if chosen is not None:
        bucket_factors(chosen)


def refuse_wrapping(config: ReformerConfig, length: int) -> None:
    """Refuse a text so short that windows, under stock's rule, hold a chunk twice."""
    for kind in set(config.attn_layers):
        chunks = length // getattr(config, f"{kind}_attn_chunk_length")
        before = getattr(config, f"{kind}_num_chunks_before")
        if 1 < chunks <= before:
            raise messages.wraps(kind, chunks, before)
