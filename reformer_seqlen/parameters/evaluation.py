"""The section `evaluate` of params.yaml."""

from typing import Annotated

from pydantic import Field

from reformer_seqlen.parameters.common.quantities import BatchSize, Precision, Seed, Threads
from reformer_seqlen.parameters.common.section import Section


class Evaluation(Section):
    """How a trained model is scored."""

    batch_size: BatchSize = 16
    precision: Precision = "float32"
    threads: Threads = 2
    hash_draws: Annotated[int, Field(gt=0)] = 1
    seed: Seed = 42
