"""One process at a time for each stage.

Killing only the dvc process leaves its stage running, and two of one stage in one folder would
destroy each other's work. The system gives the lock of a killed process back.
"""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from reformer_seqlen.runtime.messages import storage as messages
from reformer_seqlen.runtime.paths import WORK


@contextmanager
def alone(stage: str) -> Iterator[None]:
    """Wait until no other process of this machine runs a stage, saying which one does."""
    path = WORK / "locks" / f"{stage}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_suffix(".holder")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(messages.held(stage, _named(holder)), file=sys.stderr, flush=True)
        lock.acquire()
    with lock:
        holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield


def _named(holder: Path) -> str:
    with suppress(OSError):
        if name := holder.read_text(encoding="utf-8", errors="replace"):
            return name
    return "another process"
