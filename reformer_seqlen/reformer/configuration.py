"""What a model's configuration may say, and what is refused."""

from typing import Any

from transformers import ReformerConfig

from reformer_seqlen.reformer.hash_order import Causality
from reformer_seqlen.reformer.hashing import bucket_factors
from reformer_seqlen.runtime.errors import StudyError

DROPOUTS = (
    "hidden_dropout_prob",
    "local_attention_probs_dropout_prob",
    "lsh_attention_probs_dropout_prob",
)


def option(config: ReformerConfig, name: str, allowed: tuple[str, ...], default: str) -> Any:
    """A setting that stock's configuration does not have."""
    value = getattr(config, name, None) or default
    if value not in allowed:
        raise StudyError(
            f"{name} is {value!r} in the model's configuration: choose one of {', '.join(allowed)}."
        )
    return value


def check_configuration(config: ReformerConfig, causality: Causality) -> None:
    """Refuse what this implementation can't do."""
    if config.hidden_act != "relu":
        raise StudyError(
            f"hidden_act is {config.hidden_act} in the model's configuration, and only relu is "
            "implemented: choose implementation: transformers."
        )
    if not config.is_decoder:
        raise StudyError(
            "is_decoder is false in the model's configuration, and only language models, which "
            "see the past alone, are implemented: set it to true."
        )
    for name in ("local_num_chunks_after", "lsh_num_chunks_after"):
        if getattr(config, name):
            raise StudyError(
                f"{name} is {getattr(config, name)} in the model's configuration, and a language "
                "model sees nothing of what comes after: set it to 0."
            )
    for name in DROPOUTS:
        if not 0 <= getattr(config, name) < 1:
            raise StudyError(
                f"{name} is {getattr(config, name)} in the model's configuration: choose 0 or "
                "more, and less than 1."
            )
    if causality == "strict" and "lsh" in config.attn_layers and config.lsh_num_chunks_before < 1:
        raise StudyError(
            "lsh_num_chunks_before is 0 in the model's configuration, and lsh_causality: strict "
            "looks back at least one chunk: set it to 1 or more, or choose lsh_causality: "
            "published."
        )
    chosen = getattr(config, "lsh_num_buckets", None)
    if chosen is not None:
        bucket_factors(chosen)


def refuse_wrapping(config: ReformerConfig, length: int) -> None:
    """Refuse a text so short that windows, under stock's rule, hold a chunk twice."""
    for kind in set(config.attn_layers):
        chunks = length // getattr(config, f"{kind}_attn_chunk_length")
        before = getattr(config, f"{kind}_num_chunks_before")
        if 1 < chunks <= before:
            raise StudyError(
                f"the text has {chunks} chunks, and {kind}_num_chunks_before is {before}: under "
                "lsh_causality: published a window would hold its own chunk twice. Choose a "
                "longer text, or lsh_causality: strict."
            )
