"""What the numbers were computed on, and by which code."""

import ctypes
import os
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reformer_seqlen.runtime import ranks
from reformer_seqlen.runtime.cores import cores
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.git import git

HALF_PRECISION = ("avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16")
"""Instructions that products in half precision are rounded by, where a processor has them."""
SWITCHES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "GLIBC_TUNABLES",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "OMP_DYNAMIC",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
)
"""Environment variables that choose among kernels, which round differently."""
PACKAGES = ("torch", "transformers", "numpy")
CODE = ("stages", "reformer_seqlen", "dvc.yaml", "params.yaml")
"""What results are made by: with a change in it, the commit alone does not make them again."""


def describe() -> dict[str, Any]:
    """Where something was computed, and by which code: the provenance of a result."""
    return {**hardware(), **code()}


def describe_without_torch() -> dict[str, Any]:
    """The same of what is computed by numpy alone, for which torch is not worth importing."""
    return {"processor": processor_kind(), "cores": cores(), "libm": libm(), **code()}


def hardware() -> dict[str, str | int]:
    """What decides whether two machines give equal bytes, and how many cores there were."""
    import torch  # takes a second, which counting does without

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor_kind()
    return {
        "processor": device,
        "instruction_set": instruction_set(),
        "threads": threads(),
        "cores": cores(),
        "libm": libm(),
        "switches": switches(),
    }


def code() -> dict[str, str | bool | None]:
    """Versions, and the commit; without it where git can't tell, as in an unpacked .zip."""
    versions = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **versions, **_commit()}


def _commit() -> dict[str, str | bool | None]:
    """The name of HEAD, and whether the code differs from it."""
    with suppress(StudyError):
        head, status = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", *CODE)
        if not head.returncode and not status.returncode:
            return {"commit": head.stdout.strip(), "dirty": bool(status.stdout.strip())}
    return {"commit": None, "dirty": None}


def processor_kind() -> str:
    """The processor's model; on Linux with family, model and stepping, which names tell apart.

    The same kind of processor computes the same bytes; another may round otherwise.
    """
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    first = cpuinfo.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in pairs}
    name = facts.get("model name", platform.machine())
    numbers = [facts[key] for key in ("cpu family", "model", "stepping") if key in facts]
    return f"{name} ({'-'.join(numbers)})" if numbers else name


def instruction_set() -> str:
    """The instructions that torch uses, which may be fewer than the processor has.

    Example: "AVX512, avx512_bf16".
    """
    import torch

    has = torch.cpu.get_capabilities()
    names = [name for name in HALF_PRECISION if has.get(name)]
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *names])


def threads() -> int:
    """The threads that torch computes with: those it was told to, or OpenMP's limit.

    Those of all processes that train together.
    """
    import torch

    limit = _openmp_limit()
    asked = torch.get_num_threads()
    return ranks.size() * (asked if limit is None else min(asked, limit))


def _openmp_limit() -> int | None:
    """OMP_THREAD_LIMIT as torch's OpenMP has read it; torch itself does not know of it."""
    with suppress(OSError, AttributeError):
        openmp = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        return int(openmp.omp_get_thread_limit())
    return None


def libm() -> str:
    """The C library, whose functions exp and log round each in its own way."""
    return " ".join(filter(None, platform.libc_ver())) or platform.platform()


def switches() -> str:
    """The variables that choose among kernels and are set, with their values; "none" without."""
    found = [f"{name}={os.environ[name]}" for name in SWITCHES if name in os.environ]
    return ", ".join(found) or "none"
