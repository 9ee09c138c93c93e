"""Work in a process of its own: what fails there, hangs or is killed leaves everything else."""

import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from reformer_seqlen.runtime.console import STDERR
from reformer_seqlen.runtime.errors import one_line
from reformer_seqlen.runtime.process import end_with_parent

T = TypeVar("T")
WAIT_FOR_THE_END_SECONDS = 10
"""After its result, for a process to end; one that hangs in the driver may not even be killed."""


@dataclass(frozen=True)
class Ended(Generic[T]):
    """How the work ended: with a value, or why without one."""

    value: T | None
    why: str | None = None


def isolated(call: Callable[[], T], limit_seconds: float) -> Ended[T]:
    """Call a function in a process of its own and wait for what it returns.

    CUDA does not work in the fork of a process that has used it, so call this from one that has
    not: it need not import torch and transformers again, which takes longer than most of the work.

    Args:
        call: picklable, as is what it returns.
        limit_seconds: the process is killed after so long.
    """
    context: Any = get_context("fork" if sys.platform == "linux" else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(call, sender, limit_seconds))
    sys.stdout.flush()
    child.start()
    sender.close()
    try:
        if not receiver.poll(limit_seconds):
            return Ended(None, f"took more than {limit_seconds:.0f} s and was ended")
        ended: Ended[T] = receiver.recv()
    except EOFError:
        child.join(WAIT_FOR_THE_END_SECONDS)
        return Ended(None, f"its process ended with status {child.exitcode}")
    else:
        child.join(WAIT_FOR_THE_END_SECONDS)
        return ended
    finally:
        child.kill()
        child.join(WAIT_FOR_THE_END_SECONDS)


def _work(call: Callable[[], T], sender: Connection, limit_seconds: float) -> None:
    """What the process does: send one Ended. Shortly before its limit, it prints where it is."""
    end_with_parent()
    faulthandler.register(signal.SIGALRM, STDERR)
    signal.setitimer(signal.ITIMER_REAL, 0.95 * limit_seconds)
    began = time.monotonic()
    try:
        sender.send(Ended(call()))
    except Exception as error:
        traceback.print_exc()
        spent = time.monotonic() - began
        why = f"{type(error).__name__} after {spent:.0f} s: {one_line(error)}"
        sender.send(Ended(None, why))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # nothing is left to close, and a library's thread may wait for ever
