"""Which model configurations are refused, and why."""

from collections.abc import Iterator
from typing import Any

from transformers import ReformerConfig

from reformer_seqlen.reformer.hash_order import Causality
from reformer_seqlen.reformer.hashing import bucket_factors
from reformer_seqlen.runtime.messages import reformer as messages

KINDS = ("local", "lsh")


def option(config: ReformerConfig, name: str, allowed: tuple[str, ...], default: str) -> Any:
    """The value of a setting that stock's configuration does not have."""
    value = getattr(config, name, None) or default
    if value not in allowed:
        raise messages.not_allowed(name, value, allowed)
    return value


def check_settings(config: ReformerConfig) -> None:
    """Refuse what no Reformer can be made of.

    Settings of a kind of layer that the model has not may be None, or anything.
    """
    kinds = set(config.attn_layers)
    if not kinds or not kinds <= {*KINDS}:
        raise messages.unknown_layers(config.attn_layers, KINDS)
    _check_dropout(config, "hidden_dropout_prob")
    for kind in sorted(kinds):
        _check_whole(config, f"{kind}_attn_chunk_length", least=1)
        _check_whole(config, f"{kind}_num_chunks_before", least=0)
        _check_dropout(config, f"{kind}_attention_probs_dropout_prob")
    if "lsh" in kinds:
        _check_whole(config, "num_hashes", least=1)
        for name in ("num_buckets", "lsh_num_buckets"):
            if getattr(config, name, None) is not None:
                bucket_factors(getattr(config, name))


def check_configuration(config: ReformerConfig, causality: Causality) -> None:
    """Refuse what this implementation can't do."""
    if config.hidden_act != "relu":
        raise messages.another_activation(config.hidden_act)
    if not config.is_decoder:
        raise messages.no_decoder()
    check_settings(config)
    for kind in sorted(set(config.attn_layers)):
        after = getattr(config, f"{kind}_num_chunks_after")
        if after:
            raise messages.chunks_after(f"{kind}_num_chunks_after", after)
    if causality == "strict" and "lsh" in config.attn_layers and config.lsh_num_chunks_before < 1:
        raise messages.no_chunk_before()


def _check_whole(config: ReformerConfig, name: str, least: int) -> None:
    value = getattr(config, name)
    if not isinstance(value, int) or value < least:
        raise messages.too_small(name, value, least)


def _check_dropout(config: ReformerConfig, name: str) -> None:
    value = getattr(config, name)
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise messages.no_probability(name, value)


def refuse_wrapping(config: ReformerConfig, length: int) -> None:
    """Refuse a text so short that windows, under stock's rule, hold a chunk twice."""
    for kind, chunks, before in _wrapping(config, length):
        raise messages.wraps(kind, chunks, before)


def wraps(config: ReformerConfig, length: int) -> bool:
    """Whether windows of a text of that length, under stock's rule, hold a chunk twice."""
    return any(_wrapping(config, length))


def _wrapping(config: ReformerConfig, length: int) -> Iterator[tuple[str, int, int]]:
    """The kinds of layers that wrap, with the chunks of the text and those before each chunk."""
    for kind in sorted(set(config.attn_layers)):
        chunks = length // getattr(config, f"{kind}_attn_chunk_length")
        before = getattr(config, f"{kind}_num_chunks_before")
        if 1 < chunks <= before:
            yield kind, chunks, before
