"""What the modules that are used here import and a machine with a GPU may lack."""

import os
import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace


def import_without_psutil() -> None:
    """Import what imports psutil; without it, all that is asked of it here stands in.

    That is a computer's total memory. The stand-in is gone afterwards, so that no other package
    takes it for the real one.
    """
    if find_spec("psutil") is not None:
        return
    import transformers.models.reformer.modeling_reformer  # noqa: F401  # looks for packages itself

    stand_in = ModuleType("psutil")
    stand_in.virtual_memory = _virtual_memory  # type: ignore[attr-defined]
    sys.modules["psutil"] = stand_in
    try:
        import reformer_seqlen.memory.measurement
        import reformer_seqlen.reformer.activations  # noqa: F401
    finally:
        sys.modules["psutil"] = None  # type: ignore[assignment]


def _virtual_memory() -> SimpleNamespace:
    return SimpleNamespace(total=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
