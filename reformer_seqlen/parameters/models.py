"""The section `models` of params.yaml: base models, fetched or made here."""

from math import lcm
from typing import Annotated, Any, Self

from pydantic import Field, field_serializer, field_validator, model_validator

from reformer_seqlen.parameters.common.quantities import (
    CHUNK_LENGTH,
    Bytes,
    Fraction,
    SequenceLength,
    within_any_machine,
)
from reformer_seqlen.parameters.common.section import Section
from reformer_seqlen.parameters.corpora import Format
from reformer_seqlen.parameters.model_options import REFORMER
from reformer_seqlen.parameters.runs import NO_TRAINING, overridden
from reformer_seqlen.parameters.sources import AS_TEXT, CheckpointSource, FileSource
from reformer_seqlen.parameters.tokens import TokenizerKind
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.runtime.messages import parameters as messages

KINDS = ("local", "lsh")
"""Of a Reformer's layers; where `attn_layers` are left out, there are both."""
BYTE_PIECES = 258
"""Of the tokenizer `bytes`: every byte, and two special ids."""


class Phase(Section):
    """A part of a base model's training, on texts of another length.

    Attributes:
        train: over the recipe's `train`.
    """

    sequence_length: SequenceLength
    train: dict[str, Any] = Field(default_factory=dict)


class Pretraining(Section):
    """A base model made here: its text, its tokenizer and its training.

    Attributes:
        skip_bytes: documents at the beginning that are left out, as they are a corpus's.
        first_bytes: of what follows them.
        character_coverage: the share of the text's characters that the tokenizer knows; all
            printable ASCII it knows anyway.
        sequence_length: of the texts that it is trained on first.
        train: how; the word `none` for a base that is not trained, whose runs begin from nothing.
            Its text then makes the tokenizer alone, and all runs, of whatever seed, begin from the
            same random weights.
        phases: more training, in this order, each with an optimizer of its own: a base for runs of
            several lengths should have seen them all, and short texts first train faster.
        architecture: values of the model's configuration. `model_type` is any causal language
            model of transformers; without one it is a Reformer, the published one where nothing
            else is said.
    """

    file: FileSource
    format: Format
    skip_bytes: Annotated[int, Field(ge=0, le=2**50)] = 0
    first_bytes: Bytes | None = None
    validation: Fraction = 0.02
    pieces: Annotated[int, Field(gt=0, le=2**20)] = 320
    character_coverage: Annotated[float, Field(gt=0, le=1)] = 1.0
    sequence_length: SequenceLength = 128
    train: Training | None
    phases: list[Phase] = Field(default_factory=list)
    architecture: dict[str, Any] = Field(default_factory=dict)

    @field_validator("train", mode="before")
    @classmethod
    def _none_is_no_training(cls, train: Any) -> Any:
        if train is None or (isinstance(train, str) and train != NO_TRAINING):
            raise ValueError(messages.TRAINING_OR_NONE)
        return None if train == NO_TRAINING else train

    @field_serializer("train")
    def _no_training_is_none(self, train: Training | None) -> Any:
        return NO_TRAINING if train is None else train.model_dump()

    @field_validator("architecture")
    @classmethod
    def _no_number_is_past_any_machine(cls, architecture: dict[str, Any]) -> dict[str, Any]:
        return within_any_machine(architecture)

    @model_validator(mode="after")
    def _phases_follow_a_training(self) -> Self:
        if self.train is None and self.phases:
            raise ValueError(messages.PHASES_OF_NOTHING)
        return self

    def trainings(self) -> list[tuple[int, Training]]:
        """The sequence length and the settings of every phase, the first included.

        Raises:
            StudyError: a phase's own value is wrong.
        """
        if self.train is None:
            return []
        own = [(self.sequence_length, {}), *((p.sequence_length, p.train) for p in self.phases)]
        return [
            (length, overridden(self.train, values, f"pretraining.phases.{number - 1}.train"))
            for number, (length, values) in enumerate(own)  # the first is no phase's own
        ]


class Model(Section):
    """A base model: published (`checkpoint`) or made here (`pretraining`).

    Attributes:
        options: hold for all runs of the model, whose own go over them. Which there are depends on
            the kind of model (see `model_options`).
        tokenizer: `sentencepiece` is a SentencePiece model, made here or the checkpoint's
            (spiece.model). `transformers` is the checkpoint's fast tokenizer (tokenizer.json).
            `bytes` is a piece for each byte, with two special ids before them.
    """

    options: dict[str, Any]
    tokenizer: TokenizerKind = "sentencepiece"
    checkpoint: CheckpointSource | None = None
    pretraining: Pretraining | None = None

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        if (self.checkpoint is None) == (self.pretraining is None):
            raise ValueError(messages.ORIGIN_OF_A_MODEL)
        return self

    @model_validator(mode="after")
    def _checkpoint_is_no_text(self) -> Self:
        if self.checkpoint is not None and self.checkpoint.model_fields_set & set(AS_TEXT):
            raise ValueError(messages.CHECKPOINT_IS_NO_TEXT)
        return self

    @model_validator(mode="after")
    def _tokenizer_can_be_made(self) -> Self:
        if self.pretraining is not None:
            if self.tokenizer == "transformers":
                raise ValueError(messages.NO_FAST_TOKENIZER_IS_MADE)
            if self.tokenizer == "bytes" and self.pretraining.pieces != BYTE_PIECES:
                raise ValueError(messages.pieces_of_bytes(BYTE_PIECES))
        return self

    @model_validator(mode="after")
    def _phases_are_trainings(self) -> Self:
        if self.pretraining is not None:
            self.pretraining.trainings()
        return self

    @property
    def model_type(self) -> str | None:
        """As transformers calls it; None for a checkpoint, whose own configuration says it."""
        if self.pretraining is None:
            return None
        return str(self.pretraining.architecture.get("model_type", REFORMER))

    @property
    def chunk_length(self) -> int:
        """What a Reformer's lengths are multiples of; 1 for another model made here."""
        if self.pretraining is None or self.model_type != REFORMER:
            return 1
        architecture = self.pretraining.architecture
        layers = architecture.get("attn_layers")
        kinds = [kind for kind in KINDS if not isinstance(layers, list) or kind in layers]
        lengths = [architecture.get(f"{kind}_attn_chunk_length", CHUNK_LENGTH) for kind in kinds]
        # What is no length is refused where the model is made.
        return lcm(*(length for length in lengths if isinstance(length, int) and length > 0))
