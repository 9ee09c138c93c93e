"""This project's Reformer is predicted like any other model, to the byte."""

from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
from transformers import ReformerConfig

from reformer_seqlen.memory.prediction import make_optimizer, trace_training
from reformer_seqlen.memory.trace import Trace
from reformer_seqlen.models.configurations import configuration
from reformer_seqlen.reformer.activations import activation_bytes
from reformer_seqlen.reformer.crime_and_punishment import CRIME_AND_PUNISHMENT
from reformer_seqlen.reformer.language_model import Reformer
from tests.memory.test_prediction import SCALARS, bytes_counted_by_torch, bytes_in_use, placed
from tests.memory_example import NO_DROPOUT, TINY_REFORMER


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("causality", "changes"),
    [
        ("strict", {}),
        ("strict", {"num_hashes": 4}),
        ("published", {}),
        ("published", {"num_hashes": 4}),
        ("published", {"attn_layers": ["local"] * 3}),
    ],
)
def test_what_decides_about_recomputing_is_what_a_pass_keeps(
    causality: str, changes: dict[str, Any]
) -> None:
    values = {"vocab_size": 320, "axial_pos_embds": False, "max_position_embeddings": 512}
    config = ReformerConfig(**{**CRIME_AND_PUNISHMENT, **values, **changes})
    config.reversible, config.lsh_causality = "off", causality
    small, large = (
        bytes_in_use(trace_training(partial(Reformer, config), batch, 512)) for batch in (1, 3)
    )
    of_a_token = (large - small) / (2 * 512)
    assert of_a_token <= activation_bytes(config) <= 1.2 * of_a_token


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
