"""What entry points set for their process: before its large imports, after them, and at its end.

None of it changes a number.
"""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from reformer_seqlen.runtime.console import end_at_interrupts, print_anywhere
from reformer_seqlen.runtime.heap import keep_freed_memory

PR_SET_PDEATHSIG = 1  # Linux's prctl(2)
UNUSED = ("scipy", "datasets")
"""What transformers imports where it is installed, and nothing here uses."""


def prepare() -> None:
    """Set the environment, the heap, streams and Ctrl-C, and import fast from here on.

    torch and transformers make a million objects that all stay, and the garbage collector would
    look through them again and again. And transformers would import what is not used here. Without
    both, imports take half of the time.
    """
    wait_briefly()
    keep_freed_memory()
    print_anywhere()
    end_at_interrupts()
    _import_fast()


def _import_fast() -> None:
    gc.disable()
    for name in UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def wait_briefly() -> None:
    """How torch's threads wait for each other at every operation; OpenMP reads it when it loads.

    Spinning long costs nine tenths of the speed when the machine does anything else, sleeping at
    once costs a third of it when it does not: a short spin is the middle.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def imported() -> None:
    """Everything large is imported: collect garbage again, but none of that."""
    for name in UNUSED:
        if sys.modules.get(name, sys) is None:
            del sys.modules[name]
    gc.freeze()
    gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """Import within the block as after `prepare`: fast, and Ctrl-C is not lost.

    For a command that is already running, and imports what is large once it knows that it needs it.
    """
    handler = signal.getsignal(signal.SIGINT)
    end_at_interrupts()
    _import_fast()
    try:
        yield
    finally:
        imported()
        signal.signal(signal.SIGINT, handler)


def end_with_parent() -> None:
    """Have a child process end when its parent does, however that ends, and silently at Ctrl-C.

    A pool's workers would wait for ever for the next task of a parent that was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def leave() -> NoReturn:
    """End a process that has succeeded, without taking its modules apart first.

    With torch and transformers that takes most of a second. For processes that have nothing left
    to close: no `atexit` handler runs, and no object is finalized.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
