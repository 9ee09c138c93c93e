"""The search for what fits a GPU, against runs recorded one by one."""

from functools import partial

import pytest

from reformer_seqlen.memory.allocator import MIB, fits
from reformer_seqlen.memory.configurations import with_positions
from reformer_seqlen.memory.fit import Shapes, batches, capacity, length_unit, lengths
from reformer_seqlen.memory.prediction import trace_inference
from reformer_seqlen.memory.trace import ACTIVATIONS, WEIGHTS, Trace
from reformer_seqlen.models.configurations import build, configuration
from reformer_seqlen.runtime.errors import StudyError
from tests.memory_example import REFORMER_CP, REFORMER_EN8, TINY_GPT2, TINY_REFORMER


class Toy:
    """Runs of 4 MiB of weights and one activation; counts how often one is recorded."""

    def __init__(self, power: int, wobbles: bool = False) -> None:
        self.recorded: list[int] = []
        self._power = power
        self._wobbles = wobbles

    def record(self, units: int) -> Trace:
        """Record the run with that many units."""
        self.recorded.append(units)
        trace = Trace()
        trace.request(4 * MIB, WEIGHTS, "")
        size = units**self._power + (units % 3 if self._wobbles else 0)
        trace.release(trace.request(size * 10 * MIB, ACTIVATIONS, ""))
        return trace


def test_the_largest_that_fits_is_found_exactly() -> None:
    # 4 MiB take a segment of 20, whose rest serves one unit of 10 MiB; more take their own.
    toy = Toy(power=1)
    shapes = Shapes(toy.record, None)
    assert shapes.largest(320 * MIB) == 30
    assert shapes.largest(329 * MIB) == 30
    assert shapes.largest(330 * MIB) == 31
    assert shapes.largest(39 * MIB) == 1
    assert shapes.largest(19 * MIB) == 0
    assert len(toy.recorded) <= 6  # all others are extrapolated


def test_a_quadratic_is_extrapolated_too() -> None:
    toy = Toy(power=2)
    assert Shapes(toy.record, None).largest((20 + 10 * 55**2) * MIB) == 55
    assert len(toy.recorded) <= 6


def test_what_is_no_polynomial_is_recorded_every_time() -> None:
    toy = Toy(power=1, wobbles=True)
    # 30 units wobble by 0, 31 by 1: 310 + 10 do not fit into 310.
    assert Shapes(toy.record, None).largest(330 * MIB) == 30
    assert {30, 31} <= set(toy.recorded)


def every_other(units: int) -> Trace:
    """Runs of which the odd ones take 15 MiB a unit and the even ones twice that.

    A segment of an odd number of MiB is rounded up, and that rest decides whether the last request
    still fits beside the 2 MiB that hold the segment.
    """
    trace = Trace()
    trace.release(trace.request(15 * units * MIB, ACTIVATIONS, ""))
    trace.request(2 * MIB, ACTIVATIONS, "")
    trace.request((30 * units - 3) * MIB // 2, ACTIVATIONS, "")
    return trace


def test_the_largest_that_fits_is_found_above_smaller_ones_that_do_not() -> None:
    for largest in (1, 3, 41, 777):
        room = (15 * largest + 1) * MIB
        assert Shapes(every_other, None).largest(room) == largest
        assert Shapes(every_other, None).largest(room - 1) < largest
    room = (15 * 41 + 1) * MIB
    fitting = [n for n in range(1, 43) if Shapes(every_other, None).fits(n, room)]
    assert fitting == [*range(1, 21), *range(21, 42, 2)]
    assert Shapes(every_other, 40).largest(room) == 39


def test_far_more_units_are_found_to_a_part_in_thousands() -> None:
    largest = 200_001
    found = Shapes(every_other, None).largest((15 * largest + 1) * MIB)
    assert 0.999 * largest < found <= largest


def test_what_changes_at_a_length_is_not_extrapolated_beyond_it() -> None:
    def record(units: int) -> Trace:
        trace = Trace()
        trace.request(min(units, 100) * 10 * MIB, ACTIVATIONS, "")  # a window of attention
        trace.request(units * 2 * MIB, ACTIVATIONS, "")
        return trace

    shapes = Shapes(record, 100_000)
    assert shapes.largest(600 * MIB) == 50
    assert shapes.largest(2000 * MIB) == 500


def test_a_run_of_ever_more_operations_is_not_followed_for_hours() -> None:
    recorded = []

    def record(units: int) -> Trace:
        recorded.append(units)
        trace = Trace()
        for _ in range(10_000 * units):
            trace.release(trace.request(units * MIB, ACTIVATIONS, ""))
        return trace

    with pytest.raises(StudyError, match="4 sequences fit; more do too many operations"):
        batches(record).largest(1000 * MIB)
    assert max(recorded) == 4


def test_a_larger_gpu_fits_no_less() -> None:
    shapes = Shapes(every_other, None)
    found = [shapes.largest(mib * MIB) for mib in range(20, 900, 7)]
    assert found == sorted(found)


def test_a_limit_is_respected() -> None:
    for limit in (1, 2, 3, 4, 7, 1000):
        assert Shapes(Toy(power=1).record, limit).largest(320 * MIB) == min(limit, 30)


def test_lengths_are_searched_in_whole_chunks_and_rows() -> None:
    axial = configuration(REFORMER_CP, "test")
    assert length_unit(axial) == 1024
    assert length_unit(with_positions(axial, "learned", "test")) == 64
    en8 = with_positions(configuration(REFORMER_EN8, "test"), "learned", "test")
    assert length_unit(en8) == 256
    assert length_unit(configuration(TINY_GPT2, "test")) == 64


@pytest.mark.slow
def test_a_search_agrees_with_runs_recorded_one_by_one() -> None:
    learned = TINY_REFORMER | {"axial_pos_embds": False, "max_position_embeddings": 65536}
    for values in (learned, TINY_GPT2 | {"n_positions": 4096}):
        config = configuration(values, "test")
        record = partial(trace_inference, partial(build, config))
        room = capacity(300, 200)
        units = lengths(config, partial(record, 4)).largest(room)
        length = units * length_unit(config)
        inside, outside = record(4, length), record(4, length + length_unit(config))
        assert fits(inside.sizes, inside.events, room)
        assert not fits(outside.sizes, outside.events, room)
        batch = batches(partial(_swapped, record, 256)).largest(room)
        inside, outside = record(batch, 256), record(batch + 1, 256)
        assert fits(inside.sizes, inside.events, room)
        assert not fits(outside.sizes, outside.events, room)


def _swapped(record: partial[Trace], length: int, batch_size: int) -> Trace:
    return record(batch_size, length)


def test_positions_can_be_what_ends_a_sequence() -> None:
    config = configuration(TINY_GPT2, "test")
    shapes = lengths(config, partial(trace_inference, partial(build, config), 1))
    assert shapes.limit == 16
    assert shapes.largest(capacity(81920, 512)) == 16
