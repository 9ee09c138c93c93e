"""Several processes that train one model: started, joined to a group, and ended together.

torchrun starts them, or the first of them starts the others (`processes` in params.yaml). In a
stage, all of them read the same inputs; from `first_alone` on, the first goes on without the
others.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from reformer_seqlen.runtime import ranks
from reformer_seqlen.runtime.messages import training as messages
from reformer_seqlen.runtime.process import leave

HERE = "127.0.0.1"
PATIENCE = timedelta(days=7)
"""How long a process waits for another one, which may be preparing a long text meanwhile.

Those that end are noticed at once.
"""
END_SECONDS = 5.0
"""How long a process may take to end when the others have."""
LOOK_SECONDS = 0.02


@contextmanager
def joined(processes: int, *stage: str) -> Iterator[None]:
    """Train in several processes within the block, if torchrun or `processes` ask for them.

    Args:
        processes: of `train`. Those that torchrun has started count instead, if there are any.
        stage: the module and key of the stage that runs here: what the others are to run.

    Raises:
        StudyError: there are too few GPUs, or a process has ended too early.
    """
    if ranks.size() > 1:
        yield from _group(None, [])
    elif processes > 1:
        yield from _with_others(processes, stage)
    else:
        for name in ranks.NAMES:  # of torchrun's only process, which trains as without it
            os.environ.pop(name, None)
        yield


def first_alone() -> None:
    """Go on in the first process; the others have done their part, and end."""
    if distributed.is_initialized():
        distributed.barrier()
    if not ranks.is_first():
        leave()


def _with_others(processes: int, stage: Sequence[str]) -> Iterator[None]:
    """Be the first of some processes, and start the others."""
    _check_devices(processes)
    store = TCPStore(HERE, 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    own = {ranks.SIZE: str(processes), ranks.LOCAL_SIZE: str(processes)}
    others = [
        subprocess.Popen(
            [sys.executable, "-m", *stage],
            env={
                **os.environ, **own, ranks.RANK: str(rank), ranks.LOCAL_RANK: str(rank),
                ranks.STORE: str(store.port),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # so that signals reach the first alone, which tells the others
        )
        for rank in range(1, processes)
    ]  # fmt: skip
    try:
        os.environ |= {**own, ranks.RANK: "0", ranks.LOCAL_RANK: "0"}
        while not store.check([_here(rank) for rank in range(1, processes)]):
            if any(other.poll() is not None for other in others):
                raise _early_end(others)
            time.sleep(LOOK_SECONDS)
        yield from _group(store, others)
        for other in others:
            with suppress(subprocess.TimeoutExpired):
                other.wait(END_SECONDS)
    finally:
        for other in others:
            other.kill()
            other.wait()
        for name in ranks.NAMES:
            os.environ.pop(name, None)


def _here(rank: int) -> str:
    """The key under which a process says that it is there."""
    return f"here-{rank}"


def _group(store: TCPStore | None, others: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Join the group of processes, which sums on GPUs over NCCL, and everything else over gloo."""
    _check_devices(ranks.local_size())
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(ranks.local_rank())
    # accelerate would set another number of threads where this says none.
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    if store is None and ranks.was_started():
        port = int(os.environ[ranks.STORE])
        store = TCPStore(HERE, port, wait_for_workers=False, timeout=PATIENCE)
        store.set(_here(ranks.rank()), "")
    try:
        if store is None:
            distributed.init_process_group(backend, timeout=PATIENCE)
        else:
            if sys.platform == "linux":
                os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
            rank, size = ranks.rank(), ranks.size()
            distributed.init_process_group(
                backend, store=store, rank=rank, world_size=size, timeout=PATIENCE
            )
        yield
    except RuntimeError as error:
        if messages.LOST.search(str(error)):
            raise _early_end(others) from error
        raise
    distributed.destroy_process_group()


def _early_end(others: Sequence[subprocess.Popen[bytes]]) -> Exception:
    """What to say when another process has ended too early."""
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until:
        for rank, other in enumerate(others, start=1):
            if other.poll() is not None:
                return messages.process_ended(rank, other.returncode)
        time.sleep(LOOK_SECONDS)
    return messages.a_process_ended()


def _check_devices(processes: int) -> None:
    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise messages.too_few_gpus(processes, torch.cuda.device_count())
