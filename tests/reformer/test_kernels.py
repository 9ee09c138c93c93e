"""A GPU waits for the host, which starts each kernel: longer texts must not take more of them.

`meta` stands for a GPU here: it computes nothing, and takes the same way through the model.
"""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from reformer_seqlen.reformer import layers
from tests.reformer_example import small_reformer


class Operations(TorchDispatchMode):
    """Counts what is asked of the device."""

    count: int = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        self.count += 1
        return function(*arguments, **(options or {}))


def operations(batch_size: int, device: str) -> int:
    """How many a training pass and its gradients take."""
    model = small_reformer("mixed", lsh_num_buckets=8).to(device).train()
    ids = torch.zeros(batch_size, 64, dtype=torch.long, device=device)
    seen = Operations()
    with seen:
        model(ids, labels=ids).loss.backward()
    return seen.count


def test_a_gpu_gets_as_many_operations_for_more_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "TOKENS_AT_A_TIME", 128)
    assert operations(16, "meta") == operations(8, "meta")


def test_a_cpu_takes_many_tokens_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = operations(8, "cpu")
    monkeypatch.setattr(layers, "TOKENS_AT_A_TIME", 128)
    assert operations(8, "cpu") > whole
