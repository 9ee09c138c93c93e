"""Runs the parts, each in a process of its own with a limit of its own, and collects how they end.

A part has what its predecessors left of their time as well, so the sum of the limits bounds all.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import correctness, memory, profile, speed, training
from benchmarks.gpu.isolation import isolated
from benchmarks.gpu.record import Record
from reformer_seqlen.runtime.files import read_json, write_json


def has_a_result(results: dict[str, Any]) -> bool:
    """Whether any row of any table says something else than why it says nothing."""
    tables = (table for table in results.values() if isinstance(table, list))
    return any("why" not in row for table in tables for row in table)


@dataclass(frozen=True)
class Part:
    """A part of the benchmark.

    Attributes:
        run: measures on a device and records what it finds.
        limit_seconds: after which it is killed.
        is_right: whether its results are; where they can't be wrong, whether there is one.
    """

    run: Callable[[torch.device, Record], None]
    limit_seconds: float
    is_right: Callable[[dict[str, Any]], bool] = has_a_result


PARTS = {
    "correctness": Part(correctness.run, 50, correctness.is_right),
    "speed": Part(speed.run, 115),
    "profile": Part(profile.run, 30),
    "memory": Part(memory.run, 70),
    "training": Part(training.run, 75),
}
"""The most valuable first. Their sum leaves 20 of 360 seconds for all imports."""
COMPLETE, UNFINISHED = "complete", "unfinished"


def run_parts(
    parts: Mapping[str, Part], device: str, folder: Path, head: dict[str, Any], seconds: float
) -> dict[str, bool]:
    """Run some parts one after another.

    Args:
        parts: by name.
        device: cuda or cpu.
        folder: gets a JSON file for each part.
        head: what measures, as every file begins.
        seconds: for all of them together.

    Returns:
        Which parts ran to their end and found everything right.
    """
    began, allowed, right = time.monotonic(), 0.0, {}
    for name, part in parts.items():
        allowed += part.limit_seconds * seconds / sum(p.limit_seconds for p in parts.values())
        print(f"{name}: at most {began + allowed - time.monotonic():.0f} s", flush=True)
        path = folder / f"{name}.json"
        write_json(path, {"part": name, **head, "status": UNFINISHED, "results": {}})
        start = time.monotonic()
        limit = began + allowed - start
        ended = isolated(partial(_run, part, device, path, limit), limit)
        found = read_json(path)
        spent = round(time.monotonic() - start, 1)
        status = COMPLETE if ended.why is None else ended.why
        right[name] = ended.why is None and part.is_right(found["results"])
        write_json(path, found | {"status": status, "seconds": spent})
        print(f"{name}: {status} after {spent} s", flush=True)
    return right


def _run(part: Part, device: str, path: Path, limit_seconds: float) -> None:
    part.run(torch.device(device), Record(path, limit_seconds))
