"""The `memory` section of params.yaml: models, rows, cards, and the two studies beside the rows."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from stages.study.schema import Name, Section

Count = Annotated[int, Field(gt=0)]
Mib = Annotated[float, Field(gt=0)]


class MemoryRow(Section):
    """One inference: what a forward pass takes, predicted, and measured if asked for.

    Attributes:
        model: a name of `memory.models`.
        positions: a Reformer's `axial` or `learned`; `own` for what the configuration says.
        allocations: `2021` lets GPT-2 allocate as transformers 4.11 did.
        published_mib: what the study printed; null where it printed nothing.
        measure: whether to measure it too, on the device that is there.
    """

    model: Name
    positions: Literal["axial", "learned", "own"] = "own"
    batch_size: Count
    sequence_length: Count
    allocations: Literal["today", 2021] = "today"
    published_mib: Mib | None = None
    measure: bool = False


class Card(Section):
    """A GPU.

    Attributes:
        memory_mib: what nvidia-smi calls its total.
        context_mib: what a process holds before it has a tensor (CUDA context and kernels).
    """

    memory_mib: Count
    context_mib: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.context_mib >= self.memory_mib:
            raise ValueError("context_mib must be less than memory_mib")
        return self


class Limits(Section):
    """What a measured row may take on this machine; beyond it, the row says so instead."""

    seconds: Annotated[float, Field(gt=0)]
    mib: Mib


class Curve(Section):
    """A model whose training memory is followed over depth and length.

    Attributes:
        model: a name of `memory.models`.
        reversible: a Reformer's; without it, every activation is kept.
        checkpointing: whether activations are computed again, layer by layer.
    """

    model: Name
    reversible: bool = True
    checkpointing: bool = False


class TrainingStudy(Section):
    """Training memory over depth and length."""

    curves: dict[Name, Curve]
    layers: Annotated[list[Count], Field(min_length=1)]
    sequence_lengths: Annotated[list[Count], Field(min_length=1)]
    batch_size: Count
    optimizer: Literal["adafactor", "adamw"]


class MemoryStudy(Section):
    """Everything under `memory`.

    Attributes:
        models: configurations of transformers: `model_type` and its values.
        card: the card whose context stands in every row's prediction.
        fits: the rows whose longest sequence and largest batch are searched for every card.
    """

    models: dict[Name, dict[str, Any]]
    rows: dict[Name, MemoryRow]
    cards: dict[Name, Card]
    card: Name
    limits: Limits
    fits: list[Name]
    training: TrainingStudy

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        _refer("card", self.card, self.cards, "cards")
        for name, row in self.rows.items():
            _refer(f"rows.{name}.model", row.model, self.models, "models")
        for name, curve in self.training.curves.items():
            _refer(f"training.curves.{name}.model", curve.model, self.models, "models")
        for name in self.fits:
            _refer("fits", name, self.rows, "rows")
        return self


def _refer(key: str, name: str, known: dict[str, Any], section: str) -> None:
    if name not in known:
        raise ValueError(f"{key}: `{name}` is not among memory.{section}: {', '.join(known)}")
