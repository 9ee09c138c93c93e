"""What the numbers were computed on."""

import platform
from pathlib import Path

import torch


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
