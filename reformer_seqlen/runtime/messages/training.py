"""Of training."""

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
