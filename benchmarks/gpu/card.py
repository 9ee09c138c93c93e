"""What everything was measured on: the card, its driver, the versions and the commit."""

import hashlib
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from reformer_seqlen.memory.allocator import MIB
from reformer_seqlen.runtime.machine import processor_kind

ROOT = Path(__file__).parents[2]
DRIVER = Path("/proc/driver/nvidia/version")
PACKAGES = ("torch", "transformers", "safetensors", "sentencepiece", "numpy")


def describe(device: str) -> dict[str, Any] | None:
    """What measures, as every result's head has it; None if there is no such device.

    Args:
        device: cuda or cpu.
    """
    if device == "cuda" and not torch.cuda.is_available():
        return None
    return {
        **(_of_the_gpu() if device == "cuda" else {"card": processor_kind(), "device": "cpu"}),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        **commit(ROOT),
        "code_sha256": code_sha256(ROOT / "reformer_seqlen"),
    }


def folder_name(card: str) -> str:
    """A card's name as that of a folder.

    Example: `NVIDIA H100 80GB HBM3` becomes `NVIDIA-H100-80GB-HBM3`.
    """
    return re.sub(r"[^\w.]+", "-", card).strip("-")


def _of_the_gpu() -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(0)
    return {
        "card": properties.name,
        "device": "cuda",
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_mib": properties.total_memory // MIB,
        "driver": driver(DRIVER.read_text(encoding="utf-8") if DRIVER.exists() else ""),
        "cuda": torch.version.cuda,
    }


def driver(text: str) -> str | None:
    """The version of NVIDIA's driver, from what the kernel says of it; None if it says nothing.

    Example: `NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 23` is 570.86.15.
    """
    found = re.search(r"\b\d{3,}(?:\.\d+)+\b", text)
    return found[0] if found else None


def code_sha256(package: Path) -> str:
    """What tells one state of a package from another, where git can't."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def commit(root: Path) -> dict[str, Any]:
    """The commit that a folder is at, and whether its files differ; None where git can't say."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *arguments],  # noqa: S607
                capture_output=True,
                text=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": git("rev-parse", "HEAD"),
        "modified": None if changed is None else bool(changed),
    }
