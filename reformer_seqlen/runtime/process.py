"""What an entry point sets before it imports anything large, and after: no number depends on it."""

import gc
import os
import sys

from reformer_seqlen.runtime.console import end_at_interrupts
from reformer_seqlen.runtime.heap import keep_freed_memory


def prepare() -> None:
    """Set the environment, the heap and Ctrl-C, and import fast from here on.

    torch and transformers make a million objects that all stay, and the garbage collector would
    look through them again and again. And transformers would import scipy, for losses of image
    models. Without both, imports take half of the time.
    """
    wait_briefly()
    keep_freed_memory()
    end_at_interrupts()
    gc.disable()
    sys.modules["scipy"] = None  # type: ignore[assignment]


def wait_briefly() -> None:
    """How torch's threads wait for each other at every operation; OpenMP reads it when it loads.

    Spinning long costs nine tenths of the speed when the machine does anything else, sleeping at
    once costs a third of it when it does not: a short spin is the middle.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def imported() -> None:
    """Everything large is imported: collect garbage again, but none of that."""
    if sys.modules.get("scipy", sys) is None:
        del sys.modules["scipy"]
    gc.freeze()
    gc.enable()
