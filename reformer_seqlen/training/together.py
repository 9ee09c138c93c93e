"""What the processes of one training share: each batch, and what they tell each other.

A process that trains alone has all of a batch, and nobody to tell anything.
"""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, distributed

from reformer_seqlen.runtime import ranks
from reformer_seqlen.runtime.interrupts import Interrupts
from reformer_seqlen.text.windows import NO_TARGET

T = TypeVar("T")


def own_part(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rows of a batch that this process computes; parts follow each other in its order.

    A process for which there is no row computes the first one, and none of its targets: all have
    to take part in every update.
    """
    rows, rank, size = len(batch["targets"]), ranks.rank(), ranks.size()
    begin, end = rows * rank // size, rows * (rank + 1) // size
    if begin < end:
        return {name: values[begin:end] for name, values in batch.items()}
    targets = torch.full_like(batch["targets"][:1], NO_TARGET)
    return {**{name: values[:1] for name, values in batch.items()}, "targets": targets}


def targets_of(batch: Mapping[str, Tensor]) -> Tensor:
    """How many targets of a batch are scored."""
    return (batch["targets"] != NO_TARGET).sum()


def of_first(value: T) -> T:
    """What the first process knows, in all of them."""
    if ranks.size() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def of_all(value: T) -> list[T]:
    """What each process knows, by rank."""
    if ranks.size() == 1:
        return [value]
    values: list[T] = [value] * ranks.size()
    distributed.all_gather_object(values, value)
    return values


def agree_to_end(interrupts: Interrupts) -> None:
    """Have a signal that has reached one process end all of them, after the same update."""
    if ranks.size() == 1:
        return
    highest = torch.tensor(interrupts.number)
    distributed.all_reduce(highest, distributed.ReduceOp.MAX)
    interrupts.ask(int(highest))
