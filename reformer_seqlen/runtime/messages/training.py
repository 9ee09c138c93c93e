"""Of training."""

import re
from collections.abc import Mapping

from reformer_seqlen.runtime.errors import StudyError

LOST = re.compile(r"closed by (remote )?peer|Connection (reset|refused)|Broken pipe", re.IGNORECASE)
"""In what torch raises in a process when another one of its group has ended."""


def going_on(update: str, seconds: float) -> str:
    """A training that was interrupted goes on."""
    return f"going on from update {update}, {seconds:.0f} s of training in"


def several_gpus(count: int) -> StudyError:
    """Transformers would take them all."""
    return StudyError(
        f"this machine has {count} GPUs, and transformers would train on all of them "
        f"with {count} x batch_size: choose one, with CUDA_VISIBLE_DEVICES=0, or share each batch "
        f"among {count} processes, with `processes: {count}` in `train`"
    )


def too_few_gpus(processes: int, count: int) -> StudyError:
    """Each process trains on a GPU of its own."""
    return StudyError(
        f"{processes} processes train on a GPU each, and this machine has {count}: give "
        f"`processes: {count}` in `train`, or torchrun's `--nproc-per-node {count}`"
    )


def process_ended(rank: int, status: int) -> StudyError:
    """Another process of this training is gone."""
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return StudyError(
        f"process {rank} of this training {how}, and its message, if there is one, is above; the "
        "same command goes on from the last checkpoint"
    )


def a_process_ended() -> StudyError:
    """The same, where somebody else has started it."""
    return StudyError(
        "another process of this training ended, and its message, if there is one, says why; the "
        "same command goes on from the last checkpoint"
    )


def one_process(stage: str, size: int) -> StudyError:
    """A stage that trains nothing, of which torchrun has started several processes."""
    return StudyError(
        f"{stage} runs in one process, and torchrun has started {size}: start it as "
        f"`python -m {stage}`; the stages that train, pretrain and finetune, run in several"
    )


def diverged(log: Mapping[str, float], kept: str) -> str:
    """A loss or gradient was no finite number; `kept` is where the weights were taken from."""
    return (
        f"diverged at update {log['update']}: {_numbers(log)}; stopped, and kept the weights of "
        f"{kept}. A lower `learning_rate` or `max_gradient_norm`, or more warm-up, may help"
    )


def base_diverged(key: str, log: Mapping[str, str]) -> StudyError:
    """A base that all runs would begin from."""
    return StudyError(
        f"{key}: the base diverged at update {log['update']}: {_numbers(log)}; no run is trained "
        "from it. Give its `train` a lower `learning_rate` or `max_gradient_norm`, or more warm-up"
    )


def _numbers(log: Mapping[str, object]) -> str:
    names = {"loss": "loss", "learning_rate": "learning rate", "grad_norm": "gradient norm"}
    found = {name: log[key] for key, name in names.items() if key in log}
    return ", ".join(f"{name} {float(str(value)):.4g}" for name, value in found.items())
