"""A unit at the bend of relu falls to one side by rounding: its gradient then says nothing."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config

from benchmarks.gpu import decisions
from benchmarks.gpu.correctness import (
    CASES,
    DRAW,
    SIZES,
    Case,
    batch_of,
    errors,
    judged,
    loss,
    model_of,
    relative,
)
from benchmarks.gpu.memory import Row, measured
from benchmarks.gpu.reference import Reference
from reformer_seqlen.models.configurations import Config, build
from reformer_seqlen.reformer.dense import relu_dropped_
from reformer_seqlen.reformer.dropout import Dropout

BENT = Case(("lsh", "lsh"), "published")
"""Of 786,432 hidden units, one is at 7.7e-7 in float64."""
SIZE = SIZES["cuda"]


def shifted(values: Tensor, dropout: Dropout) -> Tensor:
    """Relu of what another order of additions could have given."""
    return relu_dropped_(values - 3e-6, dropout)


@pytest.mark.slow
def test_a_unit_that_falls_to_the_other_side_is_counted_and_not_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert BENT in CASES
    monkeypatch.setattr(decisions, "relu_dropped_", shifted)
    found = errors(BENT, "float32", SIZE, torch.device("cpu"))
    assert 0 < found["other_units"] < 1e-5
    assert found["gradients_peak_error"] < 1e-5
    assert judged(found, "float32")


@pytest.mark.slow
def test_judged_it_would_be_a_hundredth_of_the_gradients() -> None:
    ids, real = batch_of(SIZE)
    as_they_are, with_one_switched = (Reference(model_of(BENT, SIZE), *DRAW) for _ in range(2))
    hidden = hidden_units(as_they_are, ids, real)
    passing = [units > 0 for units in hidden]
    nearest = int(hidden[1].abs().argmin())
    passing[1].view(-1)[nearest] ^= True
    gradients = []
    for reference, units in ((as_they_are, []), (with_one_switched, passing)):
        loss(reference.logits(ids, real, units)[real], ids[real]).backward()
        gradients.append([p.grad for p in reference.model.parameters() if p.grad is not None])
    peaks = [relative(b, a)[0] for a, b in zip(*gradients, strict=True) if a.any()]
    assert max(peaks) == pytest.approx(0.0102, abs=1e-4)


def hidden_units(reference: Reference, ids: Tensor, real: Tensor) -> list[Tensor]:
    """What relu gets in each layer, (B, L, F)."""
    found: list[Tensor] = []
    for module in reference.model.modules():
        if type(module).__name__ == "ReformerFeedForwardDense":
            module.dense.register_forward_hook(lambda *seen: found.append(seen[-1].detach()))
    with torch.no_grad():
        reference.logits(ids, real)
    return found


def test_what_is_measured_has_one_tensor_for_embeddings_and_output() -> None:
    made: list[Any] = []

    def make(config: Config) -> nn.Module:
        made.append(build(config))
        return made[0]  # type: ignore[no-any-return]

    config = GPT2Config(vocab_size=40, n_embd=8, n_layer=1, n_head=1, n_positions=8)
    measured(Row("tied", config, make, batch_size=1, sequence_length=8), "cpu")
    assert made[0].lm_head.weight is made[0].transformer.wte.weight
