"""The section `memory` of params.yaml: models, rows, GPUs, and the two studies beside the rows."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from reformer_seqlen.parameters.common.quantities import (
    BatchSize,
    SequenceLength,
    within_any_machine,
)
from reformer_seqlen.parameters.common.section import Name, Section
from reformer_seqlen.runtime.messages import parameters as messages

Mib = Annotated[int, Field(gt=0, le=2**30)]
Layers = Annotated[int, Field(gt=0, le=4096)]


class MemoryRow(Section):
    """One inference: what a forward pass takes, predicted, and measured if asked for.

    Attributes:
        model: a name of `memory.models`.
        positions: a Reformer's `axial` or `learned`; `own` for what the configuration says.
        allocations: `2021` lets GPT-2 allocate as transformers 4.11 did.
        measure: whether to measure it too, on the device that is there.
    """

    model: Name
    positions: Literal["axial", "learned", "own"] = "own"
    batch_size: BatchSize
    sequence_length: Annotated[int, Field(gt=0, le=2**24)]
    allocations: Literal["today", 2021] = "today"
    measure: bool = False


class Gpu(Section):
    """A GPU.

    Attributes:
        memory_mib: what nvidia-smi calls its total.
        context_mib: what a process holds before it has a tensor (CUDA context and kernels).
        ampere: whether it is of compute capability 8.0 or higher: in half precision, others have no
            flash attention.
        workspace_mib: what cuBLAS takes of the allocator's for its products, in each thread; 32 on
            a Hopper, and nothing with torch of 2021.
    """

    memory_mib: Mib
    context_mib: Annotated[int, Field(ge=0)]
    ampere: bool = True
    workspace_mib: Annotated[float, Field(ge=0, le=2**10)] = 8.125

    @property
    def cublas_workspace(self) -> int:
        """The same in bytes."""
        return round(self.workspace_mib * 2**20)

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.context_mib >= self.memory_mib:
            raise ValueError(messages.CONTEXT_FILLS_GPU)
        return self


class Limits(Section):
    """What a measured row may take on this machine; beyond it, the row says so instead."""

    seconds: Annotated[float, Field(gt=0, le=10**7)]
    mib: Annotated[float, Field(gt=0, le=2**30)]


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
    layers: Annotated[list[Layers], Field(min_length=1)]
    sequence_lengths: Annotated[list[SequenceLength], Field(min_length=1)]
    batch_size: BatchSize
    optimizer: Literal["adafactor", "adamw"]


GPUS = {
    # A Tesla T4, by its driver of 2021.
    "colab-2021": Gpu(memory_mib=15109, context_mib=919, ampere=False, workspace_mib=0),
    "T4": Gpu(memory_mib=15360, context_mib=512, ampere=False),
    "V100": Gpu(memory_mib=16384, context_mib=512, ampere=False),
    "A100-40GB": Gpu(memory_mib=40960, context_mib=512),
    "A100-80GB": Gpu(memory_mib=81920, context_mib=512),
    "H100": Gpu(memory_mib=81559, context_mib=744, workspace_mib=32),
    "RTX-3090": Gpu(memory_mib=24576, context_mib=512),
    "RTX-4090": Gpu(memory_mib=24564, context_mib=512),
}
"""What is known of GPUs, unless params.yaml says otherwise.

The context of the study's GPU is the one constant that is fitted to its table. The H100's was
measured (results/gpu): 610 MiB with a tensor, 678 after an inference, 744 after an update. Those of
the others are an assumption, on the safe side of what was seen with torch >= 2.7, whose kernels
load lazily: 256 MiB (RTX 3090) to 426 MiB (RTX 6000 Ada).
"""


class MemoryStudy(Section):
    """Everything under `memory`.

    Attributes:
        models: configurations of transformers: `model_type` and its values.
        gpus: those that are looked at; the known ones, if none are given.
        gpu: the one whose context stands in every row's prediction.
        fits: the rows whose longest sequence and largest batch are searched for every GPU.
    """

    models: dict[Name, Annotated[dict[str, Any], AfterValidator(within_any_machine)]]
    rows: dict[Name, MemoryRow]
    gpus: dict[Name, Gpu] = GPUS
    gpu: Name
    limits: Limits
    fits: list[Name]
    training: TrainingStudy

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        _refer("gpu", self.gpu, self.gpus, "gpus")
        for name, row in self.rows.items():
            _refer(f"rows.{name}.model", row.model, self.models, "models")
        for name, curve in self.training.curves.items():
            _refer(f"training.curves.{name}.model", curve.model, self.models, "models")
        for name in self.fits:
            _refer("fits", name, self.rows, "rows")
        return self


def _refer(key: str, name: str, known: dict[str, Any], section: str) -> None:
    if name not in known:
        raise ValueError(str(messages.not_among(key, name, known, f"memory.{section}")))
