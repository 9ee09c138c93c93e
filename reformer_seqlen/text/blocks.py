"""A text in blocks of whole rows, so that it never is in memory as a whole."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK_BYTES = 1 << 19


@dataclass(frozen=True)
class Block:
    """Some rows of a text: lines, each with its newline.

    Attributes:
        within: the first row goes on from the block before, which ends where that row was cut.
    """

    rows: list[bytes]
    within: bool

    @property
    def size_bytes(self) -> int:
        """Of all rows."""
        return sum(map(len, self.rows))


def after_last_blank(row: bytes) -> int:
    """Where a long row may be cut that is read by words; 0 for nowhere."""
    return row.rfind(b" ") + 1


def nowhere(_: bytes) -> int:
    """Where a row may be cut that must stay whole."""
    return 0


def read_blocks(
    file: BinaryIO, last_cut: Callable[[bytes], int] = nowhere, size: int = BLOCK_BYTES
) -> Iterator[Block]:
    """Read a text block by block (see `read_parts`)."""
    for part, within in read_parts(file, last_cut, size):
        yield Block(split_lines(part), within)


def read_parts(
    file: BinaryIO, last_cut: Callable[[bytes], int] = nowhere, size: int = BLOCK_BYTES
) -> Iterator[tuple[bytes, bool]]:
    """Read the parts of a text that its blocks are made of, and whether each begins within a row.

    Args:
        file: the text.
        last_cut: where a row that is longer than a block may be cut; 0 for nowhere, and then all of
            it becomes a row of one block.
        size: about how many bytes a block has.
    """
    rest, within = b"", False
    while read := file.read(max(size, len(rest))):
        rest += read
        end = rest.rfind(b"\n") + 1
        cut = end or last_cut(rest)
        if cut:
            yield rest[:cut], within
            rest, within = rest[cut:], not end
    if rest:
        yield rest, within


def split_lines(text: bytes) -> list[bytes]:
    r"""Lines, each with its newline; a line ends at `\n` alone."""
    return io.BytesIO(text).readlines()
