"""The quantities that several sections of params.yaml hold, with their bounds."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from reformer_seqlen.parameters.common.architectures import wrong_numbers

SPLITS = ("train", "validation", "test")
CHUNK_LENGTH = 64
"""The published one. A Reformer's lengths are multiples of its own, so that no stage has to pad."""
SEED_LIMIT = 2**32
"""Seeds are below it: numpy takes no others."""
MOST_TOKENS = 2**24
"""Of a sequence."""
MOST_SEQUENCES = 2**20
"""Of a batch."""

SequenceLength = Annotated[int, Field(gt=1, le=MOST_TOKENS)]
BatchSize = Annotated[int, Field(gt=0, le=MOST_SEQUENCES)]
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
    """The values of a model's configuration, none of which makes no model on any machine.

    Raises:
        ValidationError: numbers are too large or too small or not finite, or a list is too long or
            empty; each is placed by its name.
    """
    wrong = [
        InitErrorDetails(type=PydanticCustomError("of_a_model", words), loc=place, input=value)
        for place, value, words in wrong_numbers(configuration)
    ]
    if wrong:
        raise ValidationError.from_exception_data("configuration", wrong)
    return configuration
