"""Numbers as the results hold them."""

from reformer_seqlen.memory.allocator import MIB

DIGITS = 3


def mib(size: int) -> float:
    """Bytes as MiB."""
    return rounded(size / MIB)


def parts(sizes: dict[str, int]) -> dict[str, float]:
    """The parts of a sum of bytes, as MiB."""
    return {name: mib(size) for name, size in sizes.items()}


def rounded(value: float) -> float:
    """A number with as many decimals as every result has."""
    return round(value, DIGITS)
