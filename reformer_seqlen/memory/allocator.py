"""PyTorch's CUDA caching allocator, simulated: what a GPU would show, without one.

`nvidia-smi` does not show what tensors occupy but what the allocator has reserved for them, plus
the CUDA context. This module follows c10/cuda/CUDACachingAllocator.cpp with its default settings
and one stream, which have been the same from PyTorch 1.9 to 2.13: requests are rounded up, served
from the best fitting free block, and the rest of a block is split off and merged again when free.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

MIB = 2**20

MINIMUM_BLOCK = 512
"""Every request is rounded up to a multiple of this many bytes (kMinBlockSize)."""
SMALL_REQUEST = MIB
"""Requests up to this size share the pool of small blocks (kSmallSize)."""
SMALL_SEGMENT = 2 * MIB
"""What is taken from the GPU at a time for the small pool (kSmallBuffer)."""
LARGE_SEGMENT = 20 * MIB
"""What is taken from the GPU for a larger request that is below HUGE_REQUEST (kLargeBuffer)."""
HUGE_REQUEST = 10 * MIB
"""From here on a request gets a segment of its own size (kMinLargeAlloc)."""
HUGE_ROUNDING = 2 * MIB
"""A segment of its own is a multiple of this (kRoundLarge)."""
CUBLAS, HOPPER_CUBLAS = 2 * 4 * MIB + 8 * 16 * 2**10, 32 * MIB
"""What torch gives cuBLAS for each thread that multiplies, and on a Hopper
(`parseChosenWorkspaceSize` in aten/src/ATen/cuda/CublasHandlePool.cpp)."""


class OutOfGpuMemoryError(Exception):
    """A request did not fit, even after every unused segment had been given back."""


@dataclass(slots=True, eq=False)
class Block:
    """A stretch of a segment, in use or free; its neighbours are of the same segment."""

    size: int
    address: int
    small: bool
    free: bool = False
    previous: "Block | None" = None
    following: "Block | None" = None


@dataclass
class CachingAllocator:
    """Bytes in use and bytes reserved, after every request and release.

    Attributes:
        capacity: bytes that may be reserved; None for no limit.
        allocated: bytes in use, as torch.cuda.memory_allocated says.
        reserved: bytes taken from the GPU, as torch.cuda.memory_reserved says.
    """

    capacity: int | None = None
    allocated: int = 0
    peak_allocated: int = 0
    reserved: int = 0
    peak_reserved: int = 0
    _next_address: int = 0
    _pools: dict[bool, list[tuple[int, int, Block]]] = field(
        default_factory=lambda: {True: [], False: []}
    )
    """The free blocks of the small pool (True) and of the large one, by size, then address."""

    def allocate(self, size: int) -> Block:
        """Serve a request.

        Args:
            size: bytes asked for.

        Raises:
            OutOfGpuMemoryError: it does not fit into the capacity.
        """
        size = round_request(size)
        small = size <= SMALL_REQUEST
        pool = self._pools[small]
        best = bisect_left(pool, (size, -1))
        block = pool.pop(best)[2] if best < len(pool) else self._new_segment(size, small)
        self._split(block, size)
        block.free = False
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return block

    def release(self, block: Block) -> None:
        """Take a block back and merge it with its free neighbours."""
        self.allocated -= block.size
        block.free = True
        before, after = block.previous, block.following
        if before is not None and before.free:
            self._forget(before)
            block.address = before.address
            block.size += before.size
            block.previous = before.previous
            if block.previous is not None:
                block.previous.following = block
        if after is not None and after.free:
            self._forget(after)
            block.size += after.size
            block.following = after.following
            if block.following is not None:
                block.following.previous = block
        self._remember(block)

    def give_back_cached(self) -> None:
        """Give every segment that is wholly free back to the GPU (torch.cuda.empty_cache)."""
        for small, pool in self._pools.items():
            whole = [block for _, _, block in pool if _is_whole_segment(block)]
            self.reserved -= sum(block.size for block in whole)
            self._pools[small] = [item for item in pool if not _is_whole_segment(item[2])]

    def _new_segment(self, size: int, small: bool) -> Block:
        segment = segment_size(size)
        if self._is_too_much(segment):
            self.give_back_cached()
        if self._is_too_much(segment):
            raise OutOfGpuMemoryError
        self.reserved += segment
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        block = Block(segment, self._next_address, small)
        self._next_address += segment
        return block

    def _is_too_much(self, segment: int) -> bool:
        return self.capacity is not None and self.reserved + segment > self.capacity

    def _split(self, block: Block, size: int) -> None:
        """Cut what `size` does not need off `block`, if it is worth keeping (should_split)."""
        rest = block.size - size
        if not (rest >= MINIMUM_BLOCK if block.small else rest > SMALL_REQUEST):
            return
        tail = Block(rest, block.address + size, block.small, True, block, block.following)
        if block.following is not None:
            block.following.previous = tail
        block.following = tail
        block.size = size
        self._remember(tail)

    def _remember(self, block: Block) -> None:
        insort(self._pools[block.small], (block.size, block.address, block))

    def _forget(self, block: Block) -> None:
        pool = self._pools[block.small]
        pool.pop(bisect_left(pool, (block.size, block.address)))


def _is_whole_segment(block: Block) -> bool:
    return block.previous is None and block.following is None


def round_request(size: int) -> int:
    """The bytes that a request of `size` bytes occupies."""
    return max(MINIMUM_BLOCK, -(-size // MINIMUM_BLOCK) * MINIMUM_BLOCK)


def segment_size(size: int) -> int:
    """The bytes taken from the GPU for a rounded request that no free block can serve."""
    if size <= SMALL_REQUEST:
        return SMALL_SEGMENT
    if size < HUGE_REQUEST:
        return LARGE_SEGMENT
    return -(-size // HUGE_ROUNDING) * HUGE_ROUNDING


def replay(
    sizes: Sequence[int], events: Sequence[int], capacity: int | None = None
) -> CachingAllocator:
    """Send a recorded sequence of requests and releases through an allocator.

    Args:
        sizes: the bytes of each request, in the order of the requests; nothing is asked for 0.
        events: what happened, in order: n for request n, ~n (that is -n - 1) for its release.
        capacity: bytes that may be reserved.

    Raises:
        OutOfGpuMemoryError: a request did not fit into the capacity.
    """
    allocator, blocks = CachingAllocator(capacity), dict[int, Block]()
    for event in events:
        if event < 0:
            allocator.release(blocks.pop(~event))
        elif sizes[event]:
            blocks[event] = allocator.allocate(sizes[event])
    return allocator


def fits(sizes: Sequence[int], events: Sequence[int], capacity: int) -> bool:
    """Whether a recorded sequence runs within `capacity` reserved bytes."""
    try:
        replay(sizes, events, capacity)
    except OutOfGpuMemoryError:
        return False
    return True


def most_asked_for(sizes: Sequence[int], events: Sequence[int]) -> int:
    """The most bytes that a recorded sequence asks for at once; no allocator reserves fewer.

    Args:
        sizes: as for `replay`.
        events: as for `replay`.
    """
    rounded = [round_request(size) if size else 0 for size in sizes]
    return max(accumulate(rounded[e] if e >= 0 else -rounded[~e] for e in events), default=0)


def held_at_peak(sizes: Sequence[int], events: Sequence[int]) -> dict[int, int]:
    """The bytes that each live request held when the most were in use; they add up to that peak.

    A block can be larger than its rounded request, where the rest is not worth splitting off.

    Args:
        sizes: as for `replay`.
        events: as for `replay`.
    """
    allocator, blocks, granted = CachingAllocator(), dict[int, Block](), dict[int, int]()
    peak = end = 0
    for index, event in enumerate(events):
        if event < 0:
            allocator.release(blocks.pop(~event))
        elif sizes[event]:
            blocks[event] = allocator.allocate(sizes[event])
            granted[event] = blocks[event].size  # it stays that size while it is in use
        if allocator.allocated > peak:
            peak, end = allocator.allocated, index + 1
    released = {~event for event in events[:end] if event < 0}
    return {
        event: granted[event]
        for event in events[:end]
        if event in granted and event not in released
    }
