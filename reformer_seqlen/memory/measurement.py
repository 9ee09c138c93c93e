"""The memory that a forward pass really takes, on the device that is there.

Each measurement has a process of its own, so that one that runs out of memory or time is a result
that says so, and so that nothing of an earlier one is counted.
"""

import gc
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reformer_seqlen.memory.allocator import MIB
from reformer_seqlen.runtime.errors import one_line
from reformer_seqlen.runtime.heap import return_freed_memory, trim_heap
from reformer_seqlen.runtime.memory_limits import free_memory_bytes
from reformer_seqlen.runtime.messages import memory as messages
from reformer_seqlen.runtime.process import end_with_parent

RETURNED_FROM = 65536
"""Blocks of this many bytes go back to the system when freed."""
WARM_UP_TOKENS = 1024
WARM_UP_LAYERS = 3
"""A first small pass loads kernels and makes the matrix library's buffers, before the baseline.
These do not depend on the depth, as long as the first layers are of every kind in the model."""
SLACK_MIB = 1024
"""Address space beyond the limit, for what is mapped but never touched."""


@dataclass(frozen=True)
class Measurement:
    """What was measured, or why nothing was.

    Attributes:
        device: `cpu` or the GPU's name.
        mib: the peak: resident memory over the process's own baseline on a CPU; on a GPU what the
            driver says that the process holds, CUDA context included.
        allocated_mib: on a GPU, torch.cuda.max_memory_allocated.
        reserved_mib: on a GPU, torch.cuda.max_memory_reserved.
        why: why there is no number.
    """

    device: str
    mib: float | None = None
    allocated_mib: float | None = None
    reserved_mib: float | None = None
    why: str | None = None


@dataclass(frozen=True)
class Job:
    """A forward pass to be measured.

    Attributes:
        build_model: makes the model; picklable, for where a fork is not possible.
        build_small: makes one of its first layers, to warm up with.
        batch_size: sequences.
        sequence_length: tokens of each.
        expected_mib: what is predicted to be in use.
        limit_mib: what may be used on a CPU.
        limit_seconds: how long it may take.
    """

    build_model: Callable[[], nn.Module]
    build_small: Callable[[], nn.Module]
    batch_size: int
    sequence_length: int
    expected_mib: float
    limit_mib: float
    limit_seconds: float


def measure(job: Job) -> Measurement:
    """Measure a forward pass in a process of its own.

    Call it from a process that has run no model itself. A forked child would reuse the memory that
    its parent has freed, and that use would not be measured.
    """
    # A fork need not import anything. No operator has run yet, so there are no threads to lose. But
    # CUDA does not work after a fork, and may have been started by only looking for a GPU.
    may_fork = sys.platform == "linux" and torch.version.cuda is None
    context: Any = get_context("fork" if may_fork else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(job, sender))
    child.start()
    sender.close()
    try:
        if receiver.poll(job.limit_seconds):
            result: Measurement = receiver.recv()
            return result
        return Measurement("cpu", why=messages.took_too_long(job.limit_seconds))
    except EOFError:
        child.join()
        return Measurement("cpu", why=messages.ended(child.exitcode))
    finally:
        child.kill()
        child.join()


def _work(job: Job, sender: Connection) -> None:
    """What the child does: send one Measurement."""
    import transformers

    end_with_parent()
    transformers.logging.set_verbosity_error()  # a spawned process does not know what was set
    device = "cpu"
    try:
        if torch.cuda.is_available():
            device = torch.cuda.get_device_name()
            sender.send(_on_cuda(job, device))
        else:
            sender.send(_on_cpu(job))
    except Exception as error:
        sender.send(Measurement(device, why=one_line(error, characters=200)))


def _on_cpu(job: Job) -> Measurement:
    import psutil  # which a machine with a GPU may lack

    free = free_memory_bytes() / MIB
    for limit, name in ((job.limit_mib, "allowed (memory.limits)"), (free, "free")):
        if job.expected_mib > limit:
            return Measurement("cpu", why=messages.needs_more(job.expected_mib, limit, name))
    return_freed_memory(RETURNED_FROM)
    _limit_address_space(job.limit_mib)
    torch.set_num_threads(1)  # others run beside it
    length = min(job.sequence_length, WARM_UP_TOKENS)
    _forward(_filled(job.build_small), WARM_UP_TOKENS // length, length)
    gc.collect()  # a model refers to itself
    trim_heap()  # of the parent, too; it would be used unseen
    baseline = psutil.Process().memory_info().rss
    _forget_peak()
    _forward(_filled(job.build_model), job.batch_size, job.sequence_length)
    return Measurement("cpu", mib=(_peak_resident() - baseline) / MIB)


def _on_cuda(job: Job, device: str) -> Measurement:
    """As the study measured: nothing warmed up, and the driver's figure taken after the pass.

    PyTorch's allocator serves cuBLAS's workspace too, 8 MiB or 32 on a Hopper, which no prediction
    holds.
    """
    _forward(job.build_model().to("cuda"), job.batch_size, job.sequence_length)
    torch.cuda.synchronize()
    return Measurement(
        device,
        mib=held_on_gpu() / MIB,
        allocated_mib=torch.cuda.max_memory_allocated() / MIB,
        reserved_mib=torch.cuda.max_memory_reserved() / MIB,
    )


def _forward(model: nn.Module, batch_size: int, sequence_length: int) -> None:
    device = next(model.parameters()).device
    tokens = torch.zeros((batch_size, sequence_length), dtype=torch.int64, device=device)
    with torch.no_grad():
        model.eval()(tokens)


def _filled(build_model: Callable[[], nn.Module]) -> nn.Module:
    """A model whose weights are resident, whatever they are: no shape depends on them."""
    from transformers.initialization import no_init_weights

    with no_init_weights():
        model = build_model()
    tie: Callable[[], None] = model.tie_weights  # type: ignore[assignment]
    tie()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
    return model


def _limit_address_space(mib: float) -> None:
    """Let a request fail here rather than have the system end some process."""
    import psutil

    used = psutil.Process().memory_info().vms
    limit = used + int((mib + SLACK_MIB) * MIB)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def _forget_peak() -> None:
    """Let the peak start from here (proc(5), clear_refs); where that cannot be, it stays."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_resident() -> int:
    """The most bytes that were resident at once."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def held_on_gpu() -> int:
    """The bytes that the driver counts for this process, or for the GPU if it cannot tell.

    It cannot in a container, where processes have other numbers, nor where nvidia-ml-py is missing.
    """
    free, total = torch.cuda.mem_get_info()
    try:
        import pynvml
    except ImportError:
        return total - free
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(gpu):
            if process.pid == os.getpid() and process.usedGpuMemory is not None:
                return int(process.usedGpuMemory)
    return total - free
