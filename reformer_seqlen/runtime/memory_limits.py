"""The memory that a process may use: a container's limit counts, not the machine it runs on."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
LIMITS = {"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}
"""The files of a control group's limit and use, of cgroups version 2 and 1."""


def memory_bytes() -> int:
    """The memory that this process may use: the machine's, or less where a container has less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for limit, _ in memory_limits())])


def free_memory_bytes() -> int:
    """What of it is not in use, as far as other processes of the container leave it."""
    import psutil  # which a machine with a GPU may lack

    free: int = psutil.virtual_memory().available
    return max(0, min([free, *(limit - used for limit, used in memory_limits())]))


def memory_limits(
    root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")
) -> Iterator[tuple[int, int]]:
    """The limit and the use, in bytes, of each control group that holds this process."""
    if not own.exists():  # not Linux
        return
    for line in own.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            top = root / controllers
            inner = top / path.strip("/")
            # In a container, the path may be that outside, and the top is this process's group.
            for folder in (
                inner,
                *(parent for parent in inner.parents if top in parent.parents),
                top,
            ):
                yield from _limit_of(folder)


def _limit_of(folder: Path) -> Iterator[tuple[int, int]]:
    """Nothing where there is no limit ("max", or in version 1 a number no machine has)."""
    for limit, used in LIMITS.items():
        with suppress(OSError, ValueError):
            yield int((folder / limit).read_text()), _used(folder, used)


def _used(folder: Path, name: str) -> int:
    """Without what the system keeps of files, which it gives back when memory is asked for."""
    used = int((folder / name).read_text())
    with suppress(OSError, ValueError):
        lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
        facts = dict(line.split() for line in lines)
        used -= int(facts.get("total_inactive_file", facts.get("inactive_file", 0)))
    return max(0, used)
