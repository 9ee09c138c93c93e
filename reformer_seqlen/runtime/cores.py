"""How many processor cores a process may use."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """The cores that affinity and the limits of a container leave, at least one."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = quota_cores(CGROUPS)
    return allowed if quota is None else max(1, min(allowed, math.floor(quota)))


def quota_cores(folder: Path) -> float | None:
    """The processor time that a container's control group may take, in cores; None without limit.

    Args:
        folder: where control groups are, of version 2 or 1.
    """
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (folder / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="utf-8")
                for name in ("quota", "period")
            )
        share = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # `max`, or no control groups
        return None
    return share if share > 0 else None
