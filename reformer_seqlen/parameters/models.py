"""The section `models` of params.yaml: base models, fetched or made here."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from reformer_seqlen.parameters.common.quantities import Fraction, SequenceLength
from reformer_seqlen.parameters.common.section import Section
from reformer_seqlen.parameters.corpora import Format
from reformer_seqlen.parameters.model_options import ModelOptions
from reformer_seqlen.parameters.sources import CheckpointSource, FileSource
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.runtime.messages import parameters as messages


class Pretraining(Section):
    """A base model made here: its text, its tokenizer and its training."""

    file: FileSource
    format: Format
    first_bytes: Annotated[int, Field(gt=0)] | None = None
    validation: Fraction = 0.02
    pieces: Annotated[int, Field(gt=0)] = 320
    sequence_length: SequenceLength
    train: Training
    architecture: dict[str, Any] = Field(default_factory=dict)


class Model(Section):
    """A base model: published (`checkpoint`) or made here (`pretraining`).

    Attributes:
        options: hold for all runs of the model; a run's own go over them.
    """

    options: ModelOptions
    checkpoint: CheckpointSource | None = None
    pretraining: Pretraining | None = None

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        if (self.checkpoint is None) == (self.pretraining is None):
            raise ValueError(messages.ORIGIN_OF_A_MODEL)
        return self
