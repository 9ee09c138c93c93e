"""What makes a computation give the same numbers again: seeds, threads, repeatable kernels."""

import os

import torch
import transformers


def make_deterministic(threads: int) -> None:
    """Fix the number of threads (sums depend on it) and refuse what is not repeatable."""
    # Without it a GPU's matrix products are refused as not repeatable.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # It would also fill every new tensor, which costs time and changes no result of ours.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def device() -> torch.device:
    """Where models run: the GPU, if there is one, as transformers' Trainer chooses too."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed(value: int) -> None:
    """Seed every generator that fresh weights and dropout draw from."""
    transformers.set_seed(value)
