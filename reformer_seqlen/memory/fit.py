"""What fits a GPU: the longest sequence and the largest batch, by search.

No shape larger than the largest that is found fits, but some smaller ones may not fit either: a
longer sequence can need less reserved memory than a shorter one. Whether a request is served from a
block that was freed before depends on how its size is rounded, so that near the limit it may be
every other length that runs.

A search asks the same question for many shapes and GPUs. Where a model does the same operations for
every shape, the bytes of each request are a polynomial of degree two in the number of units
(sequences of a batch, or chunks of a sequence). Three recorded runs then give all the others
exactly. A fourth run, of many more units, is recorded to check that; if it differs, every shape is
recorded by itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from reformer_seqlen.memory.allocator import MIB, fits, most_asked_for, replay
from reformer_seqlen.memory.trace import Trace
from reformer_seqlen.models.configurations import Config, position_limit, positions_of
from reformer_seqlen.runtime.messages import memory as messages

FIRST = 2
"""The smallest number of units that is extrapolated: on one chunk a Reformer works otherwise."""
PROOF = 4
"""The run that checks an extrapolation has this many times the units that are asked for."""
EXACT = 4096
"""Up to this many units, every number is tried from the bound down. From a bound n times as large,
about every nth is tried, so the result may be up to n units too small."""
OFFSETS = (0, 1, -1, 4, -4, 16, -16)
"""What is tried around a guess before the interval is halved: to record a run takes longest."""
ABOVE = 4
"""Where nothing is extrapolated, this many units above a run that fits are tried too."""
MOST_EVENTS = 25_000
"""A search ends where runs that grow with their units make more requests and releases than this: a
model that loops over its tokens, as Mamba does without its kernels, would take hours."""
LENGTH_UNIT = 64
"""Lengths are searched in steps of this many tokens where a model does not ask for more."""


@dataclass
class Shapes:
    """The runs of one model along one axis.

    Attributes:
        record: records the run with that many units.
        limit: the largest number of units that the model takes; None if there is no limit.
        unit: what a message calls the units, after their number.
    """

    record: Callable[[int], Trace]
    limit: int | None
    unit: str = "units"
    _recorded: dict[int, Trace] = field(default_factory=dict)
    _proven: int = 0
    _refuted: float = math.inf

    def largest(self, capacity: int) -> int:
        """The largest number of units that fits; 0 if none does.

        Beyond EXACT units the result may be too small by one part in EXACT. Where runs cannot be
        extrapolated, it is a number that fits while the next few above it do not.

        Args:
            capacity: bytes that the allocator may reserve.

        Raises:
            StudyError: a run cannot be recorded, or takes too long to be.
        """
        bound = self._bound(capacity)
        if bound is None:
            return self._by_halving(capacity)
        stride = bound // EXACT | 1  # odd, so that it meets odd numbers and even ones
        for units in range(bound, 0, -stride):
            if self.fits(units, capacity):
                above = range(min(units + stride - 1, bound), units, -1)
                return next((more for more in above if self.fits(more, capacity)), units)
        return 0

    def on(self, cublas_workspace: int) -> "Shapes":
        """The same where cuBLAS takes so many bytes; a run is recorded once for all of them."""

        def record(units: int) -> Trace:
            return self._trace(units).with_workspaces(cublas_workspace)

        return Shapes(record, self.limit, self.unit)

    def fits(self, units: int, capacity: int) -> bool:
        """Whether that many units run within `capacity` reserved bytes."""
        return fits(*self._run(units), capacity)

    def _bound(self, capacity: int) -> int | None:
        """The most units whose requests alone do not exceed the capacity; None if not known.

        What is asked for at once only grows with the units, unlike what is reserved for it.
        """
        if not self._is_polynomial:
            return None
        low, high = 1, FIRST
        while self._within(high) and most_asked_for(*self._extrapolated(high)) <= capacity:
            low, high = high, 2 * high
        if self.limit is not None:
            high = min(high, self.limit + 1)
        while high - low > 1:
            middle = (low + high) // 2
            enough = most_asked_for(*self._extrapolated(middle)) <= capacity
            low, high = (middle, high) if enough else (low, middle)
        return low if self._is_proven_to(high) else None

    def _by_halving(self, capacity: int) -> int:
        low, high = 0, 1
        while self._within(high) and self.fits(high, capacity):
            low, high = high, 2 * high
            least = len(self._trace(1).events)
            if len(self._trace(low).events) > max(MOST_EVENTS, 2 * least):
                raise messages.search_too_long(low, self.unit)
        if self.limit is not None:
            high = min(high, self.limit + 1)
        guess = self._guess(low, high, capacity)
        while high - low > 1:
            near = (guess + offset for offset in OFFSETS)
            middle = next((units for units in near if low < units < high), (low + high) // 2)
            low, high = (middle, high) if self.fits(middle, capacity) else (low, middle)
        above = (low + more for more in range(ABOVE, 1, -1) if self._within(low + more))
        return next((units for units in above if self.fits(units, capacity)), low)

    def _guess(self, low: int, high: int, capacity: int) -> int:
        """Where a straight line through two runs meets the capacity: memory is nearly linear."""
        end = high if self._within(high) else high - 1
        if low == 0 or end - low < 2:
            return low
        first, second = (replay(*self._run(units)).peak_reserved for units in (low, end))
        return low + (capacity - first) * (end - low) // max(1, second - first)

    def _within(self, units: int) -> bool:
        return self.limit is None or units <= self.limit

    def _run(self, units: int) -> tuple[list[int], list[int]]:
        """The requests and events of a run, extrapolated where that is exact."""
        if FIRST <= units <= self._proven:
            return self._extrapolated(units)
        trace = self._trace(units)
        return trace.sizes, trace.events

    def _trace(self, units: int) -> Trace:
        if units not in self._recorded:
            self._recorded[units] = self.record(units)
        return self._recorded[units]

    @cached_property
    def _is_polynomial(self) -> bool:
        """Whether three neighbouring runs make the same requests, each of which only grows."""
        if not self._within(FIRST + 2):
            return False
        first, second, third = (self._trace(FIRST + index) for index in range(3))
        if not first.events == second.events == third.events:
            return False
        sizes = zip(first.sizes, second.sizes, third.sizes, strict=True)
        return all(a <= b and b - a <= c - b for a, b, c in sizes)

    def _is_proven_to(self, units: int) -> bool:
        """Whether a recorded run shows that up to so many units are extrapolated exactly."""
        end = math.inf if self.limit is None else self.limit
        units = int(min(units, end))
        for far in (int(min(PROOF * units, end)), units):  # the first serves larger GPUs as well
            if self._proven < units and far < self._refuted:
                trace = self._trace(far)
                if (trace.sizes, trace.events) == self._extrapolated(far):
                    self._proven = far
                else:
                    self._refuted = far
        return units <= self._proven

    def _extrapolated(self, units: int) -> tuple[list[int], list[int]]:
        """Newton's forward differences over three neighbouring runs."""
        steps = units - FIRST
        pairs = steps * (steps - 1) // 2
        runs = (self._trace(FIRST + index).sizes for index in range(3))
        sizes = [
            first + steps * (second - first) + pairs * (third - 2 * second + first)
            for first, second, third in zip(*runs, strict=True)
        ]
        return sizes, self._trace(FIRST).events


def is_long(trace: Trace) -> bool:
    """Whether a run is too long to record many like it."""
    return len(trace.events) > MOST_EVENTS


def length_unit(config: Config) -> int:
    """The step in which lengths are searched, in tokens.

    A Reformer works on whole chunks, and with axial positions on whole rows of its first table.
    """
    if config.model_type != "reformer":
        return LENGTH_UNIT
    chunks = (getattr(config, f"{kind}_attn_chunk_length") for kind in config.attn_layers)
    unit = math.lcm(LENGTH_UNIT, *chunks)
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
    end = None if limit is None else limit // unit
    return Shapes(lambda units: record(units * unit), end, f"x {unit} tokens")


def batches(record: Callable[[int], Trace]) -> Shapes:
    """The runs of a model over its batch sizes."""
    return Shapes(record, None, "sequences")


def capacity(memory_mib: int, context_mib: int) -> int:
    """The bytes that the allocator may reserve on a GPU, beside the CUDA context."""
    return (memory_mib - context_mib) * MIB
