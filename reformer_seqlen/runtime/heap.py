"""When the C library hands freed memory back to the system: glibc's mallopt(3).

Other C libraries have no such call, and nothing happens there.
"""

import ctypes
import sys
from typing import Any

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # glibc's names and numbers for them (malloc.h)
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # on 64 bits
NEVER = -1


def keep_freed_memory() -> None:
    """Keep all but blocks over 32 MiB: a new page costs more than all that is computed on it.

    Training steps ask for the same memory again and again. By glibc's own rules, they got part of
    it from the system each time: 2 to 4 % of a step of 16 x 256 tokens, 12 % of 1 x 16,384.
    """
    _set_thresholds(LARGEST_MMAP_THRESHOLD, NEVER)


def return_freed_memory(threshold_bytes: int) -> None:
    """Return what is freed in blocks of this size, so that resident memory is what is in use."""
    _set_thresholds(threshold_bytes, threshold_bytes)


def trim_heap() -> None:
    """Return what is free by now, whatever the thresholds."""
    call = _glibc("malloc_trim")
    if call is not None:
        call(0)


def _set_thresholds(mmap_bytes: int, trim_bytes: int) -> None:
    """Both, since after one alone glibc no longer adapts the other, which starts at 128 KiB."""
    call = _glibc("mallopt")
    if call is not None:
        call(MMAP_THRESHOLD, mmap_bytes)
        call(TRIM_THRESHOLD, trim_bytes)


def _glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
