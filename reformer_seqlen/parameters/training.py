"""The section `train` of params.yaml, and `pretraining.train` of a model."""

from math import ceil
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from reformer_seqlen.parameters.common.quantities import BatchSize, Precision, Rate, Seed, Threads
from reformer_seqlen.parameters.common.section import Section
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.messages import parameters as messages

Count = Annotated[int, Field(gt=0, le=10**12)]
Processes = Annotated[int, Field(gt=0, le=4096)]
Updates = Annotated[int, Field(gt=0, le=10**9)]
Share = Annotated[float, Field(ge=0, le=1)]


class Training(Section):
    """How a model is trained; the defaults are the published study's.

    Some amounts can be said in several ways, of which one is chosen: `batch_size` sequences or
    `tokens_per_update`; `epochs`, `updates` or `tokens` read in all; warm-up and decay in updates
    or as a share of all updates.

    Attributes:
        optimizer: `muon` updates matrices by Muon, and embeddings, the output and vectors by AdamW.
        learning_rate: the highest, after the warm-up.
        matrix_learning_rate: the same of the matrices under `muon`.
        schedule: how the rate falls to 0 in the decay, which lasts from the warm-up to the end
            where nothing else is said; `constant_with_warmup` has none.
        evaluations: how often the validation split is scored, evenly spread, the last time at the
            end; after every epoch where `epochs` are given.
        threads: that each process computes with.
        processes: that share each batch, on a GPU each where there are GPUs. How many changes no
            loss by more than rounding, unless the model drops out: each process has masks of its
            own.
        fsdp: whether each process holds a part of weights, gradients and optimizer states alone
            (FSDP2), not all of them; not for `adafactor`, whose states can't be parted so.
    """

    alternatives: ClassVar = (
        ("batch_size", "tokens_per_update"),
        ("epochs", "updates", "tokens"),
        ("warmup_updates", "warmup_share"),
        ("decay_updates", "decay_share"),
    )

    optimizer: Literal["adafactor", "adamw", "muon"] = "adafactor"
    learning_rate: Rate = 2e-4
    matrix_learning_rate: Rate | None = None
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.01
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    warmup_updates: Annotated[int, Field(ge=0, le=10**9)] | None = None
    warmup_share: Share | None = None
    decay_updates: Updates | None = None
    decay_share: Share | None = None
    max_gradient_norm: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    batch_size: BatchSize | None = None
    tokens_per_update: Count | None = None
    epochs: Annotated[int, Field(gt=0, le=10**6)] | None = None
    updates: Updates | None = None
    tokens: Count | None = None
    evaluations: Annotated[int, Field(gt=0, le=10**6)] = 4
    precision: Precision = "float32"
    seed: Seed = 42
    threads: Threads = 2
    processes: Processes = 1
    fsdp: bool = False
    checkpoint_every_updates: Updates = 500

    @model_validator(mode="before")
    @classmethod
    def _one_of_each_kind(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        for names, default in zip(cls.alternatives, (16, 30, 0, None), strict=True):
            given = [name for name in names if values.get(name) is not None]
            if len(given) > 1:
                raise ValueError(messages.alternatives(given))
            if not given:
                filled[names[0]] = default
        return filled

    @model_validator(mode="after")
    def _what_is_said_is_used(self) -> "Training":
        if (self.optimizer == "muon") != (self.matrix_learning_rate is not None):
            raise ValueError(messages.MATRIX_LEARNING_RATE)
        if self.fsdp and self.optimizer == "adafactor":
            raise ValueError(messages.FSDP_OF_ADAFACTOR)
        decays = self.decay_updates is not None or self.decay_share is not None
        if decays and self.schedule == "constant_with_warmup":
            raise ValueError(messages.DECAY_OF_A_CONSTANT)
        if self.updates is not None:
            try:
                self.decay(self.updates)
            except StudyError as error:
                raise ValueError(str(error)) from error
        return self

    def sequences(self, sequence_length: int) -> int:
        """Sequences of an update.

        Raises:
            StudyError: `tokens_per_update` makes no whole number of them, or there are too few for
                all processes.
        """
        sequences = self.batch_size or 1
        if self.tokens_per_update is not None:
            sequences, rest = divmod(self.tokens_per_update, sequence_length)
            if rest or not sequences:
                raise messages.no_whole_sequences(self.tokens_per_update, sequence_length)
        if sequences < self.processes:
            raise messages.fewer_sequences(sequences, self.processes)
        return sequences

    def updates_on(self, windows: int, sequence_length: int) -> int:
        """Updates in all.

        Args:
            windows: of the training split; the last batch of an epoch may be smaller.
            sequence_length: of each, in tokens.
        """
        if self.updates is not None:
            return self.updates
        sequences = self.sequences(sequence_length)
        if self.tokens is not None:
            return ceil(self.tokens / (sequences * sequence_length))
        return (self.epochs or 1) * ceil(windows / sequences)

    def windows_read(self, windows: int, sequence_length: int) -> int:
        """Windows that all updates read, those of repeated epochs counted again."""
        sequences = self.sequences(sequence_length)
        epochs, rest = divmod(self.updates_on(windows, sequence_length), ceil(windows / sequences))
        return epochs * windows + rest * sequences

    def evaluated_after(self, windows: int, sequence_length: int) -> list[int]:
        """The updates after which the validation split is scored."""
        updates = self.updates_on(windows, sequence_length)
        times = self.epochs or min(self.evaluations, updates)
        return [updates * (number + 1) // times for number in range(times)]

    def warmup(self, updates: int) -> int:
        """Updates in which the learning rate rises."""
        if self.warmup_share is None:
            return self.warmup_updates or 0
        return round(self.warmup_share * updates)

    def decay(self, updates: int) -> int | None:
        """Updates in which the learning rate falls at the end; None for all after the warm-up.

        Raises:
            StudyError: they begin before the warm-up ends.
        """
        share = self.decay_share
        decay = self.decay_updates if share is None else round(share * updates)
        if decay is not None and (warmup := self.warmup(updates)) + decay > updates:
            raise messages.decay_in_the_warmup(warmup, decay, updates)
        return decay
