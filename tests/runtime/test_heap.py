"""What the C library does with freed memory, seen in page faults of a process of its own."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc can be told what to keep"
)

BLOCK = 8 * 2**20
PAGES = BLOCK // 4096
PROGRAM = f"""
import resource
from reformer_seqlen.runtime.heap import keep_freed_memory, return_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        bytearray({BLOCK})  # written, and freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{{call}}
faults()
print(faults())
"""


def faults_after(call: str) -> int:
    """The page faults of ten blocks, one after the other, once the first ten have been freed."""
    command = [sys.executable, "-c", PROGRAM.format(call=call)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_kept_memory_is_used_again() -> None:
    """After a first use, blocks cost no new pages."""
    assert faults_after("keep_freed_memory()") < PAGES // 10


def test_stages_keep_memory_from_the_start() -> None:
    """Importing the stages is enough."""
    assert faults_after("") < PAGES // 10


def test_returned_memory_is_asked_for_again() -> None:
    """Every block costs all of its pages."""
    assert faults_after("return_freed_memory(65536)") >= 10 * PAGES


def test_the_last_call_counts() -> None:
    """A measurement of memory takes back what training wants."""
    assert faults_after("keep_freed_memory(); return_freed_memory(65536)") >= 10 * PAGES
