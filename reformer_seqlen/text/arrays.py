"""Arrays on disk that are written and read from their beginning on, a part in memory at a time.

A memory map would do, but its pages count as the process's memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reformer_seqlen.runtime.files import whole_file

PART = 1 << 16
"""Values read at a time."""


class ArrayWriter:
    """A one-dimensional .npy file that grows; the bytes are those of `numpy.save`."""

    def __init__(self, file: BinaryIO, dtype: DTypeLike) -> None:
        """Begin an empty array in a file opened for writing."""
        self._file = file
        self._dtype = np.dtype(dtype)
        self._count = 0
        self._write_header()
        self._begin = self._file.tell()

    def __len__(self) -> int:
        return self._count

    def append(self, values: NDArray[Any]) -> None:
        """Write values at the end, as the array's type."""
        self._file.write(values.astype(self._dtype, copy=False).tobytes())
        self._count += len(values)

    def replace(self, place: int, value: int) -> None:
        """Change one value."""
        self._file.seek(self._begin + place * self._dtype.itemsize)
        self._file.write(self._dtype.type(value).tobytes())
        self._file.seek(0, 2)

    def finish(self) -> None:
        """Write how many values there are."""
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        # numpy leaves room in the header for an array that grows.
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._count,)}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextmanager
def growing_array(path: Path, dtype: DTypeLike) -> Iterator[ArrayWriter]:
    """Write an array part by part; it is at `path` when all of it is there."""
    with whole_file(path) as partial, partial.open("wb") as file:
        writer = ArrayWriter(file, dtype)
        yield writer
        writer.finish()


def array_parts(path: Path) -> Iterator[NDArray[Any]]:
    """The values of a one-dimensional array, PART at a time."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        _, _, dtype = np.lib.format.read_array_header_1_0(file)
        while len(part := np.fromfile(file, dtype=dtype, count=PART)):
            yield part


class SortedReader:
    """Reads an ascending one-dimensional array as far as it is asked for."""

    def __init__(self, path: Path) -> None:
        """Begin with nothing read."""
        self._parts = array_parts(path)
        self._read: NDArray[Any] = np.empty(0, dtype=np.int64)

    def up_to(self, largest: float) -> NDArray[np.int64]:
        """The values up to and with `largest` that were not given before."""
        given = []
        while True:
            count = int(np.searchsorted(self._read, largest, side="right"))
            given.append(self._read[:count])
            self._read = self._read[count:]
            if not len(self._read):
                self._read = next(self._parts, self._read)
            if not len(self._read) or self._read[0] > largest:
                return np.concatenate(given)
