"""This project's Reformer is predicted like any other model, to the byte."""

from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch

from stages.memory.models import configuration
from stages.memory.prediction import make_optimizer, trace_training
from stages.memory.trace import Trace
from stages.reformer.language_model import Reformer
from tests.memory_example import NO_DROPOUT, TINY_REFORMER
from tests.test_memory_prediction import SCALARS, bytes_counted_by_torch, bytes_in_use, placed


def make(reversible: str, causality: str, values: dict[str, Any]) -> Reformer:
    config = configuration(TINY_REFORMER | values, "test")
    config.reversible, config.lsh_causality = reversible, causality
    return Reformer(config)


@pytest.mark.parametrize("causality", ["strict", "published"])
@pytest.mark.parametrize("reversible", ["on", "off"])
def test_training_is_what_torch_counts(reversible: str, causality: str) -> None:
    # No dropout: on the CPU its random numbers are numpy's, which torch does not count.
    builder = partial(make, reversible, causality, NO_DROPOUT["reformer"])
    model = builder().train()
    stepper = make_optimizer("adafactor", model)

    def work() -> None:
        for _ in range(2):
            tokens, labels = (torch.zeros((3, 256), dtype=torch.int64) for _ in "ab")
            loss = model(tokens, labels=labels, use_cache=False).loss
            loss.backward()
            del loss, tokens, labels
            stepper.step()
            stepper.zero_grad(set_to_none=True)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        counted = bytes_counted_by_torch(work) + placed(model)
    finally:
        torch.set_num_threads(threads)
    trace = trace_training(builder, 3, 256, "adafactor")
    assert bytes_in_use(trace) == pytest.approx(counted, abs=SCALARS)


def test_dropout_keeps_a_mask_of_bytes() -> None:
    with_dropout, without = (
        _held_at_peak(trace_training(partial(make, "off", "strict", values), 2, 256))
        for values in ({}, NO_DROPOUT["reformer"])
    )
    # A byte for every number of the stream, 2 x 256 x 64: once of the embeddings, and in each of
    # the two layers once of attention and once of the feed-forward part. Floats would be 4 times
    # that size.
    assert (with_dropout - without)[2 * 256 * 64] == 1 + 2 * 2
    assert (with_dropout - without)[4 * 2 * 256 * 64] == 0


def _held_at_peak(trace: Trace) -> Counter[int]:
    """How many requests of each size in bytes are live when the most is in use."""
    return Counter(trace.sizes[number] for number in trace.held_at_peak())
