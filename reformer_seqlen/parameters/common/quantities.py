"""The quantities that several sections of params.yaml hold, with their bounds."""

from math import inf, isnan
from typing import Annotated, Any, Literal

from pydantic import Field

from reformer_seqlen.runtime.messages import parameters as messages

SPLITS = ("train", "validation", "test")
CHUNK_LENGTH = 64
"""The published one. A Reformer's lengths are multiples of its own, so that no stage has to pad."""
SEED_LIMIT = 2**32
"""Seeds are below it: numpy takes no others."""
MOST_LAYERS = 4096
SIZES = {"hidden_size", "n_embd", "d_model", "vocab_size", "feed_forward_size", "n_inner"} | {
    "intermediate_size",
    "num_attention_heads",
    "n_head",
    "num_heads",
    "attention_head_size",
}
"""What configurations call the widths of which each is at least 1."""
LAYERS = {"num_hidden_layers", "num_layers", "n_layers", "n_layer"}
"""What configurations of transformers call how many layers there are."""
LARGEST_OF_A_MODEL = 2**31
"""Of any other number of a configuration; no machine holds so wide or long a model."""

SequenceLength = Annotated[int, Field(gt=1, le=2**24)]
BatchSize = Annotated[int, Field(gt=0, le=2**20)]
Threads = Annotated[int, Field(gt=0, le=4096)]
Seed = Annotated[int, Field(ge=0, lt=SEED_LIMIT)]
Bytes = Annotated[int, Field(gt=0, le=2**50)]
Rate = Annotated[float, Field(gt=0, le=1e6)]
Rounds = Annotated[int, Field(gt=0, le=1024)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Precision = Literal["float32", "bfloat16"]
"""What matrix products are computed in."""
Policy = Literal["contiguous", "published"]
"""How windows are cut."""


def within_any_machine(configuration: dict[str, Any]) -> dict[str, Any]:
    """The values of a model's configuration, none of which is past any machine.

    Raises:
        ValueError: a number is too large or a size less than 1, or a list is too long.
    """
    for name, value in configuration.items():
        if name in SIZES | LAYERS and isinstance(value, int) and value < 1:
            raise ValueError(messages.too_small(name, value))
        _check_value(name, value, MOST_LAYERS if name in LAYERS else LARGEST_OF_A_MODEL)
    return configuration


def _check_value(name: str, value: Any, limit: int) -> None:
    if isinstance(value, int | float) and (limit < abs(value) < inf or isnan(value)):
        raise ValueError(messages.too_large(name, value, limit))
    if isinstance(value, list) and len(value) > MOST_LAYERS:
        raise ValueError(messages.too_large(f"the length of {name}", len(value), MOST_LAYERS))
    if isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            _check_value(name, each, limit)
