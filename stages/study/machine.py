"""What the numbers were computed on, and how it is made to compute the same ones again."""

import os
import platform
from pathlib import Path

import psutil
import torch
import transformers


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


def describe() -> dict[str, str | int]:
    """Processor, threads and torch: what decides whether two machines give equal bytes."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor_kind()
    return {
        "processor": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def make_deterministic(threads: int) -> None:
    """Fix the number of threads (sums depend on it) and refuse what is not repeatable."""
    # Without it a GPU's matrix products are refused as not repeatable.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # It would also fill every new tensor, which costs time and changes no result of ours.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def device() -> torch.device:
    """Where models run: the GPU, if there is one, as transformers' Trainer chooses too."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


# torch.compile cannot look into this. Taken as a constant, it does not break the graph in two.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def memory_bytes(device: torch.device) -> int:
    """All memory that there is, free or not: what is free would make results depend on others."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total)


def seed(value: int) -> None:
    """Seed every generator that fresh weights and dropout draw from."""
    transformers.set_seed(value)
