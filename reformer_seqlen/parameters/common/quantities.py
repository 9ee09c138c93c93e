"""The quantities that several sections of params.yaml hold, with their bounds."""

from typing import Annotated, Literal

from pydantic import Field

SPLITS = ("train", "validation", "test")
CHUNK_LENGTH = 64
"""The published one. A Reformer's lengths are multiples of its own, so that no stage has to pad."""
SEED_LIMIT = 2**32
"""Seeds are below it: numpy takes no others."""

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
