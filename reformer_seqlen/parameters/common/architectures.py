"""The numbers of a model's configuration, and which of them make no model on any machine.

It imports little, as machines that only measure models have no more.
"""

import re
from collections.abc import Iterator, Mapping
from math import isfinite, isnan
from typing import Any

from reformer_seqlen.runtime.messages import parameters as messages

MOST_LAYERS = 4096
SIZES = {
    "hidden_size", "n_embd", "d_model", "vocab_size", "feed_forward_size", "n_inner",
    "intermediate_size", "num_attention_heads", "n_head", "num_heads", "num_key_value_heads",
    "attention_head_size", "head_dim", "max_position_embeddings", "n_positions", "num_hashes",
    "axial_pos_shape", "axial_pos_embds_dim", "local_attn_chunk_length", "lsh_attn_chunk_length",
}  # fmt: skip
"""What configurations call the widths, lengths and numbers of which each is at least 1."""
LAYERS = {"num_hidden_layers", "num_layers", "n_layers", "n_layer"}
"""What configurations of transformers call how many layers there are."""
NOT_NEGATIVE = re.compile(r"(_eps|_epsilon|_std|_range|_theta|_chunks_\w+|^chunk_size_\w+)$")
"""Names of spreads, of what keeps a divisor from 0, and of numbers of which 0 is none."""
PROBABILITY = re.compile(r"drop(out)?(_prob|_rate)?$")
"""Names of shares that are dropped."""
UNLIMITED = re.compile(r"_(limit|clipping)$")
"""Names of bounds, which are infinite or past everything where there is none."""
LARGEST_OF_A_MODEL = 2**31
"""Of any other number of a configuration; no machine holds so wide or long a model."""
Wrong = tuple[tuple[str | int, ...], Any, str]
"""Where a value stands in a configuration, the value, and what is allowed."""


def wrong_numbers(configuration: Mapping[str, Any]) -> Iterator[Wrong]:
    """Numbers that are too large or too small or not finite, lists that are too long or empty."""
    for name, value in configuration.items():
        yield from _wrong((name,), value)


def refuse_past_any_machine(configuration: Mapping[str, Any]) -> None:
    """Refuse a configuration that makes no model on any machine.

    Raises:
        ValueError: it has wrong numbers, said in one line.
    """
    wrong = [messages.of_a_place(*each) for each in wrong_numbers(configuration)]
    if wrong:
        raise ValueError("; ".join(wrong))


def _wrong(place: tuple[str | int, ...], value: Any) -> Iterator[Wrong]:
    """Every wrong value at or below a place of a configuration, with what is allowed."""
    name = next(str(part) for part in reversed(place) if isinstance(part, str))
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _wrong((*place, str(key)), each)
    elif isinstance(value, list):
        if not value and name in SIZES:
            yield place, value, messages.EMPTY
        elif len(value) > MOST_LAYERS:
            yield place, value, messages.too_long(len(value), MOST_LAYERS)
        else:
            for index, each in enumerate(value):
                yield from _wrong((*place, index), each)
    elif isinstance(value, int | float) and (words := _complaint(name, value)):
        yield place, value, words


def _complaint(name: str, value: float) -> str:
    """What is allowed of a number of that name; nothing where it is right."""
    if UNLIMITED.search(name) and not isnan(value):
        return ""
    if not isfinite(value):
        return messages.FINITE
    most = MOST_LAYERS if name in LAYERS else LARGEST_OF_A_MODEL
    most = 1 if PROBABILITY.search(name) else most
    if abs(value) > most:
        return messages.at_most(most)
    if name in SIZES | LAYERS and value < 1:
        return messages.at_least(1)
    none_is_less = NOT_NEGATIVE.search(name) or PROBABILITY.search(name)
    return messages.at_least(0) if none_is_less and value < 0 else ""
