"""Reproducible numbers: seeds, the number of threads, deterministic kernels."""

import os

import torch
import transformers


def make_deterministic(threads: int) -> None:
    """Fix the number of threads, which sums depend on, and refuse non-deterministic operations."""
    # Without it torch refuses a GPU's matrix products as non-deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # By default torch then fills every new tensor, which costs time and changes no result here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def device() -> torch.device:
    """The device to compute on: the GPU, if there is one, as transformers' Trainer chooses, too."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed(value: int) -> None:
    """Seed all generators that fresh weights and dropout draw from."""
    transformers.set_seed(value)
