"""The simulated caching allocator against sequences worked out by hand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reformer_seqlen.memory.allocator import (
    MIB,
    Block,
    CachingAllocator,
    OutOfGpuMemoryError,
    fits,
    held_at_peak,
    most_asked_for,
    replay,
    round_request,
    segment_size,
)
from tests.properties import drawn

KIB = 1024


@pytest.mark.parametrize(
    ("asked", "rounded"), [(1, 512), (512, 512), (513, 1024), (MIB, MIB), (MIB + 1, MIB + 512)]
)
def test_requests_are_rounded_up_to_512_bytes(asked: int, rounded: int) -> None:
    assert round_request(asked) == rounded


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        (512, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 512, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 512, 12 * MIB),
        (75 * MIB, 76 * MIB),
    ],
)
def test_a_segment_depends_on_the_request(asked: int, taken: int) -> None:
    assert segment_size(asked) == taken


def test_small_requests_share_a_segment_and_never_the_large_pool() -> None:
    allocator = CachingAllocator()
    small = [allocator.allocate(MIB) for _ in range(3)]
    assert allocator.reserved == 4 * MIB  # two segments of 2 MiB
    allocator.allocate(5 * MIB)
    assert allocator.reserved == 24 * MIB
    for block in small:
        allocator.release(block)
    allocator.allocate(2 * MIB)  # not from the free small segments: from the 20 MiB segment
    assert allocator.reserved == 24 * MIB
    assert allocator.allocated == 7 * MIB


def test_the_rest_of_a_large_block_is_kept_only_above_one_mib() -> None:
    allocator = CachingAllocator()
    exact = allocator.allocate(19 * MIB + MIB // 2)  # its segment has 20 MiB
    assert (exact.size, allocator.reserved) == (20 * MIB, 20 * MIB)
    assert allocator.allocated == 20 * MIB  # the rest of 0.5 MiB is not split off
    other = allocator.allocate(8 * MIB)
    assert other.size == 8 * MIB
    assert allocator.allocated == 28 * MIB


def test_the_rest_of_a_small_block_is_kept_from_512_bytes() -> None:
    allocator = CachingAllocator()
    first = allocator.allocate(2 * MIB - 512 - 1024 * KIB)
    second = allocator.allocate(1024 * KIB)
    third = allocator.allocate(1)
    assert (first.address, second.address, third.address) == (0, MIB - 512, 2 * MIB - 512)
    assert allocator.reserved == 2 * MIB


def test_the_best_fitting_block_is_taken_and_the_lower_address_of_two() -> None:
    allocator = CachingAllocator()
    sizes = [30, 12, 14, 12]
    blocks = [allocator.allocate(size * MIB) for size in sizes]
    for block in blocks:
        allocator.release(block)
    taken = allocator.allocate(11 * MIB + 512)  # 12 MiB fits best; there are two such
    assert taken.address == 30 * MIB
    assert allocator.reserved == sum(sizes) * MIB


def test_free_neighbours_merge_whatever_the_order() -> None:
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)):
        allocator = CachingAllocator()
        blocks = [allocator.allocate(6 * MIB) for _ in range(3)]  # one segment: 6 + 6 + 6 + 2
        assert allocator.reserved == 20 * MIB
        for index in order:
            allocator.release(blocks[index])
        whole = allocator.allocate(19 * MIB + 512)
        assert (whole.size, allocator.reserved) == (20 * MIB, 20 * MIB)


def test_segments_do_not_merge_with_each_other() -> None:
    allocator = CachingAllocator()
    for block in [allocator.allocate(10 * MIB), allocator.allocate(10 * MIB)]:
        allocator.release(block)
    allocator.allocate(20 * MIB)
    assert allocator.reserved == 40 * MIB


def test_peaks_stay_when_memory_is_released() -> None:
    allocator = CachingAllocator()
    allocator.release(allocator.allocate(100 * MIB))
    assert (allocator.allocated, allocator.peak_allocated) == (0, 100 * MIB)
    assert (allocator.reserved, allocator.peak_reserved) == (100 * MIB, 100 * MIB)
    allocator.give_back_cached()
    assert (allocator.reserved, allocator.peak_reserved) == (0, 100 * MIB)


def test_a_split_segment_is_not_given_back() -> None:
    allocator = CachingAllocator()
    kept, gone = allocator.allocate(6 * MIB), allocator.allocate(6 * MIB)
    allocator.release(gone)
    allocator.give_back_cached()
    assert allocator.reserved == 20 * MIB
    allocator.release(kept)
    allocator.give_back_cached()
    assert allocator.reserved == 0


def test_cached_segments_are_given_back_before_memory_runs_out() -> None:
    allocator = CachingAllocator(capacity=50 * MIB)
    allocator.release(allocator.allocate(30 * MIB))
    allocator.allocate(40 * MIB)  # 30 + 40 is too much, so the 30 go first
    assert allocator.reserved == 40 * MIB
    with pytest.raises(OutOfGpuMemoryError):
        allocator.allocate(12 * MIB)


def test_a_recorded_sequence_is_replayed() -> None:
    sizes, events = [30 * MIB, 100, 40 * MIB], [0, 1, ~0, 2]
    allocator = replay(sizes, events)
    assert allocator.peak_allocated == 40 * MIB + 512
    assert allocator.peak_reserved == 72 * MIB
    assert fits(sizes, events, 42 * MIB)  # 30 given back, 40 + 2 left
    assert not fits(sizes, events, 42 * MIB - 1)


def test_what_is_held_at_the_peak_adds_up_to_it() -> None:
    sizes = [19 * MIB + MIB // 2, 100, 3 * MIB, 7 * MIB]
    events = [0, 1, 2, ~2, 3, ~3]
    held = held_at_peak(sizes, events)
    # Request 0 keeps its whole segment; 2 is gone when 3 comes, which makes the peak.
    assert held == {0: 20 * MIB, 1: 512, 3: 7 * MIB}
    assert sum(held.values()) == replay(sizes, events).peak_allocated


def test_no_fewer_bytes_are_reserved_than_are_asked_for_at_once() -> None:
    sizes, events = [19 * MIB, 100, 3 * MIB, 7 * MIB], [0, 1, 2, ~2, 3, ~3]
    assert most_asked_for(sizes, events) == 26 * MIB + 512
    assert replay(sizes, events).peak_reserved == 42 * MIB
    assert most_asked_for([], []) == 0


SIZES = st.one_of(
    st.integers(1, 4 * KIB), st.integers(1, 2 * MIB), st.integers(1, 30 * MIB), st.just(MIB)
)
STEPS = st.lists(st.tuples(SIZES, st.integers(0, 10**6)), max_size=60)
"""Each asks for so many bytes, and then perhaps gives back one of the blocks in use."""


@pytest.mark.slow
@drawn
@given(STEPS)
def test_what_is_in_use_never_overlaps_and_is_counted(steps: list[tuple[int, int]]) -> None:
    allocator, used = CachingAllocator(), list[tuple[Block, int]]()
    for size, choice in steps:
        block = allocator.allocate(size)
        used.append((block, size))
        if choice % 2 and used:
            allocator.release(used.pop(choice % len(used))[0])
        assert all(block.size >= round_request(asked) for block, asked in used)
        assert allocator.allocated == sum(block.size for block, _ in used)
        assert allocator.allocated <= allocator.reserved <= allocator.peak_reserved
        places = sorted((block.address, block.address + block.size) for block, _ in used)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(places))
    for block, _ in used:
        allocator.release(block)
    assert allocator.allocated == 0
    allocator.give_back_cached()
    assert allocator.reserved == 0  # all that was split has been merged again


@drawn
@given(STEPS)
def test_a_recording_needs_what_its_replay_reserves(steps: list[tuple[int, int]]) -> None:
    sizes, events, used = [size for size, _ in steps], list[int](), list[int]()
    for number, (_, choice) in enumerate(steps):
        events.append(number)
        used.append(number)
        if choice % 2:
            events.append(~used.pop(choice % len(used)))
    replayed = replay(sizes, events)
    assert most_asked_for(sizes, events) <= replayed.peak_allocated <= replayed.peak_reserved
    assert sum(held_at_peak(sizes, events).values()) == replayed.peak_allocated
    assert fits(sizes, events, replayed.peak_reserved)
    if events:
        assert not fits(sizes, events, most_asked_for(sizes, events) - 1)
