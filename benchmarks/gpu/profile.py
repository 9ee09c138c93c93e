"""Part 3: where does a training step's time go? The longest kernels, launches, and waits."""

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from torch.profiler import ProfilerActivity

from benchmarks.gpu.contestants import NAMES, contestant, random_ids, synchronise
from benchmarks.gpu.limits import seconds_of
from benchmarks.gpu.record import Record

LONGEST = 10
WARM_UP_STEPS = 3
SHAPE = {"cuda": (16, 2048), "cpu": (2, 64)}
LAYERS = {"cuda": 6, "cpu": 2}
STEPS = {"cuda": 5, "cpu": 1}
MODELS: dict[str, Sequence[str]] = {"cuda": NAMES, "cpu": ("ours",)}
PRECISION = "bfloat16"
LAUNCHES = "LaunchKernel"
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize")
"""Calls in which the host waits for the card; that which ends the timing is another."""


@dataclass(frozen=True)
class Event:
    """Something that ran, in microseconds.

    Attributes:
        is_kernel: whether it is a kernel or a copy on the card, or on a CPU an operator that calls
            no other; else a call on the host.
    """

    name: str
    begin: float
    end: float
    is_kernel: bool


def run(device: torch.device, record: Record) -> None:
    """Profile one model after another."""
    transformers.logging.set_verbosity_error()
    for name in MODELS[device.type]:
        place = {"model": name}
        found = record.attempt("steps", place, partial(profiled, name, device), seconds=5.0)
        if found is not None:
            kernels = found.pop("kernels")
            record.row("steps", {**place, **found})
            for kernel in kernels:
                record.row("kernels", {**place, **kernel})


def profiled(name: str, device: torch.device) -> dict[str, Any]:
    """A training step's time, launches, waits and longest kernels."""
    kind, (batch_size, length) = device.type, SHAPE[device.type]
    ids = random_ids(batch_size, length, device)
    model = contestant(name, LAYERS[kind], length, device)
    step = partial(model.train, ids, PRECISION)
    for _ in range(WARM_UP_STEPS):
        step()
    seconds = median(seconds_of(step, device) for _ in range(STEPS[kind]))
    events = recorded(step, STEPS[kind], device)
    return {
        "batch_size": batch_size,
        "sequence_length": length,
        "precision": PRECISION,
        "step_seconds": seconds,
        **summary(events, STEPS[kind], seconds),
        "waiting_lines": waiting_lines(step, device),
    }


def recorded(step: Callable[[], object], steps: int, device: torch.device) -> list[Event]:
    """What ran in so many steps, on the card and on the host."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(steps):
            step()
        synchronise(device)
    return [
        Event(event.name, event.time_range.start, event.time_range.end, _is_kernel(event, device))
        for event in profiler.events() or ()
        if not getattr(event, "is_user_annotation", False)
        and not event.name.startswith("Optimizer.")
    ]


def _is_kernel(event: Any, device: torch.device) -> bool:
    if device.type == "cuda":
        return str(event.device_type).endswith("CUDA")
    return event.name.startswith("aten::") and not event.cpu_children


def summary(events: Iterable[Event], steps: int, step_seconds: float) -> dict[str, Any]:
    """What a step consists of: the host's share, launches, waits, the longest kernels.

    Args:
        events: of some steps.
        steps: how many.
        step_seconds: how long one takes unobserved. The host's share is that of this time in which
            no kernel runs; observed, the host takes longer.
    """
    events = list(events)
    kernels = [event for event in events if event.is_kernel]
    whole = 1e6 * steps * step_seconds
    busy = covered((event.begin, event.end) for event in kernels)
    calls = Counter(event.name for event in events if not event.is_kernel)
    launches = sum(count for name, count in calls.items() if LAUNCHES in name)
    return {
        "host_share": max(0.0, 1 - busy / whole),
        "kernels_run": len(kernels) / steps,
        "launches": launches / steps,
        "synchronisations": sum(calls[name] for name in WAITS) / steps,
        "kernels": longest(kernels, steps, whole),
    }


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length that spans cover, each stretch counted once.

    Example: (0, 2), (1, 3) and (5, 6) cover 4.
    """
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def longest(kernels: Iterable[Event], steps: int, whole: float) -> list[dict[str, Any]]:
    """The kernels that take longest in all, with their calls and milliseconds a step."""
    spent, calls = Counter[str](), Counter[str]()
    for kernel in kernels:
        spent[kernel.name] += kernel.end - kernel.begin  # type: ignore[assignment]
        calls[kernel.name] += 1
    return [
        {
            "kernel": name,
            "calls": calls[name] / steps,
            "milliseconds": microseconds / 1000 / steps,
            "share": microseconds / whole,
        }
        for name, microseconds in spent.most_common(LONGEST)
    ]


def waiting_lines(step: Callable[[], object], device: torch.device) -> dict[str, int]:
    """The lines of Python at which the host waits for the card in a step, and how often."""
    if device.type != "cuda":
        return {}
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found = [w for w in caught if "synchroniz" in str(w.message)]
    return dict(Counter(f"{_short(w.filename)}:{w.lineno}" for w in found).most_common())


def _short(path: str) -> str:
    """A module's path from where it is imported from."""
    for folder in sorted(sys.path, key=len, reverse=True):
        if folder and Path(path).is_relative_to(folder):
            return str(Path(path).relative_to(folder))
    return path
