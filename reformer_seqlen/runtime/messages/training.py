"""Of training."""

from collections.abc import Mapping

from reformer_seqlen.runtime.errors import StudyError


def going_on(update: str, seconds: float) -> str:
    """A training that was interrupted goes on."""
    return f"going on from update {update}, {seconds:.0f} s of training in"


def several_gpus(count: int) -> StudyError:
    """Transformers would take them all."""
    return StudyError(
        f"this machine has {count} GPUs, and transformers would train on all of them "
        f"with {count} x batch_size: choose one, with CUDA_VISIBLE_DEVICES=0"
    )


def diverged(log: Mapping[str, float], kept: str) -> str:
    """A loss or gradient was no finite number; `kept` is where the weights were taken from."""
    return (
        f"diverged at update {log['update']}: {_numbers(log)}; stopped, and kept the weights of "
        f"{kept}. A lower `learning_rate` or `max_gradient_norm`, or more warm-up, may help"
    )


def base_diverged(log: Mapping[str, str]) -> StudyError:
    """A base that all runs would begin from."""
    return StudyError(
        f"the base diverged at update {log['update']}: {_numbers(log)}; no run is trained from it. "
        "Give its `pretraining.train` a lower `learning_rate` or `max_gradient_norm`, or more "
        "warm-up"
    )


def _numbers(log: Mapping[str, object]) -> str:
    names = {"loss": "loss", "learning_rate": "learning rate", "grad_norm": "gradient norm"}
    found = {name: log[key] for key, name in names.items() if key in log}
    return ", ".join(f"{name} {float(str(value)):.4g}" for name, value in found.items())
