"""The section `train` of params.yaml, and `pretraining.train` of a model."""

from typing import Annotated, Literal

from pydantic import Field

from reformer_seqlen.parameters.common.quantities import BatchSize, Precision, Seed, Threads
from reformer_seqlen.parameters.common.section import Section


class Training(Section):
    """How a model is trained; the defaults are the published study's."""

    optimizer: Literal["adafactor", "adamw"] = "adafactor"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    warmup_updates: Annotated[int, Field(ge=0)] = 0
    max_gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    batch_size: BatchSize = 16
    epochs: Annotated[int, Field(gt=0)] = 30
    precision: Precision = "float32"
    seed: Seed = 42
    threads: Threads = 2
    checkpoint_every_updates: Annotated[int, Field(gt=0)] = 500
