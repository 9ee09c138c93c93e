"""The memory that a process may use: a container's limit counts, not the machine it runs on."""

import os
from pathlib import Path

import pytest

from reformer_seqlen.runtime import memory_limits

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
GIB = 2**30


def group(folder: Path, **values: str) -> None:
    """A control group's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in values.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What names the process's group; all groups are below `tmp_path`."""
    own = tmp_path / "own"
    limits = memory_limits.memory_limits
    monkeypatch.setattr(memory_limits, "memory_limits", lambda: limits(tmp_path, own))
    return own


def test_the_smallest_limit_of_nested_groups_counts(tmp_path: Path, own: Path) -> None:
    own.write_text("0::/pod/task\n")
    group(tmp_path, memory__max="max", memory__current="0")
    group(tmp_path / "pod", memory__max=str(GIB), memory__current=str(GIB // 2))
    group(tmp_path / "pod/task", memory__max="max", memory__current="7")
    assert memory_limits.memory_bytes() == GIB
    assert memory_limits.free_memory_bytes() == GIB // 2


def test_what_is_kept_of_files_is_free(tmp_path: Path, own: Path) -> None:
    own.write_text("0::/\n")
    stat = f"anon 7\ninactive_file {GIB // 4}"
    group(tmp_path, memory__max=str(GIB), memory__current=str(GIB), memory__stat=stat)
    assert memory_limits.free_memory_bytes() == GIB // 4


def test_version_1_has_a_folder_for_memory(tmp_path: Path, own: Path) -> None:
    """In a container, the path is that outside, and the top is the container's group."""
    own.write_text("5:cpu:/docker/1\n4:memory:/docker/1\n0::/docker/1\n")
    limits = {"memory__limit_in_bytes": str(GIB), "memory__usage_in_bytes": str(GIB // 4)}
    group(tmp_path / "memory", **limits)
    assert memory_limits.memory_bytes() == GIB
    assert memory_limits.free_memory_bytes() == 3 * GIB // 4


@pytest.mark.parametrize("limit", ["max", str(2**63 - 4096), "nonsense", ""])
def test_without_a_limit_the_machine_counts(tmp_path: Path, own: Path, limit: str) -> None:
    own.write_text("0::/\n")
    group(tmp_path, memory__max=limit, memory__current="0")
    assert memory_limits.memory_bytes() == MACHINE
    own.unlink()
    assert memory_limits.memory_bytes() == MACHINE
