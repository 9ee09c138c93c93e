"""The section `evaluate` of params.yaml."""

from typing import Annotated

from pydantic import Field

from reformer_seqlen.parameters.common.quantities import (
    BatchSize,
    Policy,
    Precision,
    Rounds,
    Seed,
    SequenceLength,
    Threads,
)
from reformer_seqlen.parameters.common.section import Section


class Evaluation(Section):
    """How a trained model is scored.

    Attributes:
        stride: tokens from one window to the next. Windows then overlap, and each scores what none
            before it has, so that every target has at least `sequence_length - stride` tokens of
            context. None: windows side by side. Either way the targets are the same for every
            length. Not for the published policy, whose blocks are scored as they are.
        contexts: shorter windows in which the same model is scored, too, in tokens: does it use
            what it is given?
        hash_rounds: numbers of hash rounds with which the same weights are scored, too; of a
            Reformer whose layers hash.
        protocols: policies (see `Chunking`) in whose windows the same model is scored, too: what
            does the protocol alone change? The run's own is skipped.
        unknown_limit: the largest share of a split's pieces that may be unknown to the tokenizer. A
            text with more of them is easier to predict than the text itself, and is not scored.
        hash_draws: of a model whose layers hash; a score is their mean.
    """

    stride: Annotated[int, Field(gt=0, le=2**24)] | None = None
    contexts: list[SequenceLength] = Field(default_factory=list)
    hash_rounds: list[Rounds] = Field(default_factory=list)
    protocols: list[Policy] = Field(default_factory=list)
    unknown_limit: Annotated[float, Field(ge=0, le=1)] = 0.05
    batch_size: BatchSize = 16
    precision: Precision = "float32"
    threads: Threads = 2
    hash_draws: Rounds = 1
    seed: Seed = 42
