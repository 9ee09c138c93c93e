"""What fits a card: the longest sequence and the largest batch, by search.

A search asks the same question for many shapes and cards. Where a model does the same operations
for every shape, each request is a polynomial of degree two in the number of units (sequences of a
batch, or chunks of a sequence), so three recorded runs give all the others exactly; a fourth proves
it, and if it does not, every shape is recorded by itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from stages.memory.allocator import MIB, fits, replay
from stages.memory.models import Config, position_limit, positions_of
from stages.memory.trace import Trace

FIRST = 2
"""The smallest number of units that is extrapolated: one chunk alone takes a shorter way."""
PROOF = 40
"""The number of units at which the extrapolation is compared with a recorded run."""
OFFSETS = (0, 1, -1, 4, -4, 16, -16)
"""Where to look around a guess, before halving what is left: a recorded run costs most."""
LENGTH_UNIT = 64
"""Lengths are searched in steps of this many tokens where a model does not ask for more."""


@dataclass
class Shapes:
    """The runs of one model along one axis.

    Attributes:
        record: records the run with that many units.
        limit: the largest number of units that there are; None if there is no end.
    """

    record: Callable[[int], Trace]
    limit: int | None
    _recorded: dict[int, Trace] = field(default_factory=dict)

    def largest(self, capacity: int) -> int:
        """The largest number of units that fits.

        Args:
            capacity: bytes that the allocator may reserve.
        """
        low, high = 0, 1
        while self._within(high) and self._fits(high, capacity):
            low, high = high, 2 * high
        if self.limit is not None:
            high = min(high, self.limit + 1)
        guess = self._guess(low, high, capacity)
        while high - low > 1:
            near = (guess + offset for offset in OFFSETS)
            middle = next((units for units in near if low < units < high), (low + high) // 2)
            low, high = (middle, high) if self._fits(middle, capacity) else (low, middle)
        return low

    def _guess(self, low: int, high: int, capacity: int) -> int:
        """Where a straight line through two runs meets the capacity; memory is nearly one."""
        end = high if self._within(high) else high - 1
        if low == 0 or end - low < 2:
            return low
        first, second = (replay(*self._run(units)).peak_reserved for units in (low, end))
        return low + (capacity - first) * (end - low) // max(1, second - first)

    def _within(self, units: int) -> bool:
        return self.limit is None or units <= self.limit

    def _fits(self, units: int, capacity: int) -> bool:
        return fits(*self._run(units), capacity)

    def _run(self, units: int) -> tuple[list[int], list[int]]:
        """The requests and events of a run, extrapolated if that is exact."""
        if units >= FIRST and self._can_extrapolate:
            return self._extrapolate(units), self._trace(FIRST).events
        trace = self._trace(units)
        return trace.sizes, trace.events

    def _trace(self, units: int) -> Trace:
        if units not in self._recorded:
            self._recorded[units] = self.record(units)
        return self._recorded[units]

    @cached_property
    def _can_extrapolate(self) -> bool:
        proof = PROOF if self.limit is None else min(PROOF, self.limit)
        if proof <= FIRST + 2:
            return False
        runs = [self._trace(units) for units in (FIRST, FIRST + 1, FIRST + 2, proof)]
        same_order = all(run.events == runs[0].events for run in runs)
        return same_order and self._extrapolate(proof) == runs[3].sizes

    def _extrapolate(self, units: int) -> list[int]:
        """Newton's forward differences over three neighbouring runs."""
        steps = units - FIRST
        pairs = steps * (steps - 1) // 2
        runs = (self._trace(FIRST + index).sizes for index in range(3))
        return [
            first + steps * (second - first) + pairs * (third - 2 * second + first)
            for first, second, third in zip(*runs, strict=True)
        ]


def length_unit(config: Config) -> int:
    """The step in which lengths are searched, in tokens.

    A Reformer works on whole chunks, and with axial positions on whole rows of its first table.
    """
    if config.model_type != "reformer":
        return LENGTH_UNIT
    unit = math.lcm(LENGTH_UNIT, config.lsh_attn_chunk_length, config.local_attn_chunk_length)
    if positions_of(config) == "axial":
        unit = math.lcm(unit, config.axial_pos_shape[1])
    return unit


def lengths(config: Config, record: Callable[[int], Trace]) -> Shapes:
    """The runs of a model over its lengths, in units of `length_unit`.

    Args:
        config: the model's.
        record: records the run with that many tokens in a sequence.
    """
    unit = length_unit(config)
    limit = position_limit(config)
    return Shapes(lambda units: record(units * unit), None if limit is None else limit // unit)


def batches(record: Callable[[int], Trace]) -> Shapes:
    """The runs of a model over its batch sizes."""
    return Shapes(record, None)


def capacity(memory_mib: int, context_mib: int) -> int:
    """The bytes that the allocator may reserve on a card, beside the CUDA context."""
    return (memory_mib - context_mib) * MIB
