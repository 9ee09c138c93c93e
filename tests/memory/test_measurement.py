"""Measuring in a process of its own: what is measured, and what becomes of one that fails."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from reformer_seqlen.memory import measurement
from reformer_seqlen.memory.allocator import MIB
from reformer_seqlen.memory.configurations import first_layers
from reformer_seqlen.memory.measurement import WARM_UP_LAYERS, Job, measure
from reformer_seqlen.memory.prediction import predict, trace_inference
from reformer_seqlen.models.configurations import build, configuration
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import PATIENCE_SECONDS
from tests.memory_example import REFORMER_CP


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's memory is measured where there is a GPU, too: a child starts without it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


class Ballast(nn.Module):
    """Takes what its number says, or ends badly."""

    def __init__(self, mib: int, end: str = "") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(mib * MIB // 4))
        self._end = end

    def tie_weights(self) -> None:
        """As transformers' models have it."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Take another half for a moment, or end badly."""
        if self._end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._end == "slow":
            time.sleep(600)
        if self._end == "exit":
            os._exit(3)
        if self._end == "refused":
            raise StudyError("not with me")
        return self.weight[: self.weight.numel() // 2] + tokens.numel()


def job(mib: int = 100, end: str = "", **changes: Any) -> Job:
    limits = {"expected_mib": 1.5 * mib, "limit_mib": 1000.0, "limit_seconds": 30.0}
    return Job(partial(Ballast, mib, end), partial(Ballast, 1), 2, 128, **(limits | changes))


def test_the_peak_of_a_pass_is_measured() -> None:
    found = measure(job(mib=100))
    assert found.device == "cpu"
    assert found.why is None
    assert found.mib == pytest.approx(150, abs=2)


@pytest.mark.slow
def test_a_later_measurement_knows_nothing_of_an_earlier_one() -> None:
    measure(job(mib=300))
    assert measure(job(mib=50)).mib == pytest.approx(75, abs=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "why"),
    [
        (job(limit_mib=100), "needs 150 MiB, 100 MiB are allowed (memory.limits)"),
        (job(expected_mib=1e8, limit_mib=1e9), "MiB are free"),
        (job(end="killed"), "killed by the system"),
        (job(end="slow", limit_seconds=1), "took more than 1 s (memory.limits)"),
        (job(end="exit"), "the measuring process ended with status 3"),
        (job(end="refused"), "not with me"),
        (job(mib=4000, expected_mib=1), "allocate"),
    ],
)
def test_a_measurement_that_fails_says_why(given: Job, why: str) -> None:
    found = measure(given)
    assert found.mib is None
    assert found.why is not None
    assert why in found.why


@pytest.mark.slow
def test_nothing_is_left_running() -> None:
    started = time.monotonic()
    assert measure(job(end="slow", limit_seconds=1)).why is not None
    assert time.monotonic() - started < PATIENCE_SECONDS
    assert multiprocessing.active_children() == []


class Driver(SimpleNamespace):
    """What nvidia-ml-py has, and one process of its own number on the GPU."""

    class NVMLError(Exception):
        """As there."""

    def __init__(self, used: int | None, pid: int | None = None) -> None:
        super().__init__()
        self._process = SimpleNamespace(pid=pid or os.getpid(), usedGpuMemory=used)

    def nvmlInit(self) -> None:  # noqa: N802
        """Start."""

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        """The GPU of that name."""
        if uuid != "GPU-f00d":
            raise self.NVMLError
        return uuid

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: str) -> list[Any]:  # noqa: N802
        """Another process, and the one."""
        assert gpu == "GPU-f00d"
        return [SimpleNamespace(pid=1, usedGpuMemory=5), self._process]


@pytest.mark.parametrize(
    ("driver", "uuid", "held"),
    [
        (Driver(700), "f00d", 700),
        (Driver(None), "f00d", 900),  # it may not tell
        (Driver(700, pid=2), "f00d", 900),  # a container's processes have other numbers
        (Driver(700), "beef", 900),  # it knows no such GPU
        (None, "f00d", 900),  # nvidia-ml-py is not installed
    ],
)
def test_what_a_process_holds_is_the_drivers_word_or_the_gpus(
    driver: Driver | None, uuid: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (100, 1000))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid=uuid))
    assert measurement.held_on_gpu() == held


@pytest.mark.slow
def test_a_new_process_measures_the_same_as_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")  # what a build for GPUs says
    found = measure(job(mib=100))
    assert (found.device, found.why) == ("cpu", None)
    assert found.mib == pytest.approx(150, abs=2)


@pytest.mark.slow
def test_prediction_and_measurement_agree_within_two_percent() -> None:
    # In a new process: this one's freed memory would serve the pass, and nobody would see it.
    script = (
        "from tests.memory.test_measurement import predicted_and_measured\n"
        "for batch_size in (16, 32):\n"
        "    print(*predicted_and_measured(batch_size))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    for line in printed.splitlines():
        predicted, measured = map(float, line.split())
        assert predicted > 80
        assert measured == pytest.approx(predicted, rel=0.02)


def predicted_and_measured(batch_size: int) -> tuple[float, float | None]:
    """The published Reformer's peak at length 256, in MiB."""
    config = configuration(REFORMER_CP, "test")
    builder, small = partial(build, config), partial(build, first_layers(config, WARM_UP_LAYERS))
    predicted = predict(trace_inference(builder, batch_size, 256)).allocated / MIB
    return predicted, measure(Job(builder, small, batch_size, 256, predicted, 2000, 120)).mib
