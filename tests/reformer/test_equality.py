"""The same numbers as stock transformers, swap by swap and as a whole."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reformer_seqlen.reformer import layers
from reformer_seqlen.reformer.dense import DenseAdd, NormedDense, relu_dropped_
from reformer_seqlen.reformer.dropout import Dropout
from reformer_seqlen.reformer.model import Reformer
from tests.reformer_example import (
    KINDS_AND_ROUNDS,
    NO_DROPOUT,
    padding_mask,
    random_ids,
    small_reformer,
    stock_twin,
)

PUBLISHED_CHUNKS: dict[str, Any] = {
    "local_attn_chunk_length": 64,
    "lsh_attn_chunk_length": 64,
    "max_position_embeddings": 4096,
}


def logits_and_gradients(
    model: Any, ids: Tensor, mask: Tensor | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits of real tokens, and the gradients of their mean cross-entropy."""
    logits = model(ids, attention_mask=mask, use_cache=False).logits
    real = logits[torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()]
    targets = torch.arange(len(real)) % real.shape[-1]
    model.zero_grad()
    F.cross_entropy(real, targets).backward()
    gradients = {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return real.detach(), gradients


def assert_equal_to_stock(model: Reformer, ids: Tensor, mask: Tensor | None) -> None:
    """Logits within 1e-5 of stock's, and gradients relative to the largest of their tensor."""
    expected, expected_gradients = logits_and_gradients(stock_twin(model, 3, 5), ids, mask)
    for reversible in ("off", "on"):
        model.reversible = reversible
        logits, gradients = logits_and_gradients(model, ids, mask)
        assert (logits - expected).abs().max() <= 1e-5
        # stock never uses the output bias
        assert gradients.keys() - expected_gradients.keys() == {"lm_head.bias"}
        for name, gradient in expected_gradients.items():
            difference = (gradients[name] - gradient).abs().max()
            assert difference <= 1e-5 * gradient.abs().max(), name


@pytest.mark.parametrize("padding", ["none", "both"])
@pytest.mark.parametrize("length", [64, pytest.param(256, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kind", "rounds"), KINDS_AND_ROUNDS)
def test_stock(kind: str, rounds: int, length: int, padding: str) -> None:
    model = small_reformer(kind, num_hashes=rounds, lsh_causality="published", **NO_DROPOUT)
    assert_equal_to_stock(model.train(), random_ids(2, length), padding_mask(padding, 2, length))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rounds"), KINDS_AND_ROUNDS)
@pytest.mark.parametrize("length", [64, 1024, 4096])
def test_stock_with_published_chunks_and_axial_positions(
    kind: str, rounds: int, length: int
) -> None:
    model = small_reformer(
        kind,
        num_hashes=rounds,
        lsh_causality="published",
        num_buckets=[4, 8],
        axial_pos_embds=True,
        axial_pos_shape=(length // 32, 32),
        **PUBLISHED_CHUNKS,
        **NO_DROPOUT,
    )
    assert_equal_to_stock(model.train(), random_ids(1, length), padding_mask("left", 1, length))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rounds"), [("local", 1), ("lsh", 2), ("mixed", 1)])
def test_stock_at_4096_without_axial_positions(kind: str, rounds: int) -> None:
    model = small_reformer(
        kind,
        num_hashes=rounds,
        lsh_causality="published",
        num_buckets=[8, 16],
        **PUBLISHED_CHUNKS,
        **NO_DROPOUT,
    )
    assert_equal_to_stock(model.train(), random_ids(2, 4096), padding_mask("both", 2, 4096))


def test_stock_with_different_chunks_and_wider_windows() -> None:
    model = small_reformer(
        lsh_causality="published",
        num_hashes=2,
        local_attn_chunk_length=32,
        local_num_chunks_before=2,
        lsh_num_chunks_before=2,
        **NO_DROPOUT,
    )
    assert_equal_to_stock(model.train(), random_ids(2, 128), padding_mask("both", 2, 128))


@pytest.mark.parametrize("length", [1, 10, 16, 17, 50, 100])
def test_stock_at_lengths_that_need_padding(length: int) -> None:
    model = small_reformer(lsh_causality="published")
    ids = random_ids(2, length)
    with torch.no_grad():
        expected = stock_twin(model)(ids, use_cache=False).logits
        torch.testing.assert_close(model(ids).logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("reversible", ["off", "on"])
def test_hidden_states_are_those_of_stock(reversible: str) -> None:
    model = small_reformer(lsh_causality="published", reversible=reversible)
    ids = random_ids(2, 64)
    expected = stock_twin(model)(ids, output_hidden_states=True).hidden_states
    found = model(ids, output_hidden_states=True).hidden_states
    assert len(found) == len(expected) == 3
    for ours, right in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, right, atol=1e-5, rtol=1e-5)


def test_labels_give_the_shifted_loss_of_stock() -> None:
    model = small_reformer(lsh_causality="published")
    ids = random_ids(2, 64)
    labels = ids.clone()
    labels[0, 10:20] = -100
    expected = stock_twin(model)(ids, labels=labels).loss
    torch.testing.assert_close(model(ids, labels=labels).loss, expected)


def test_output_bias_is_added() -> None:
    model = small_reformer()
    ids = random_ids(1, 64)
    bias = torch.linspace(-1, 1, model.config.vocab_size)
    with torch.no_grad():
        model.lm_head.bias.zero_()
        without = model(ids).logits
        model.lm_head.bias.copy_(bias)
        torch.testing.assert_close(model(ids).logits, without + bias)


def test_frozen_embeddings_leave_the_layers_their_gradients() -> None:
    for reversible in ("off", "on"):
        model = small_reformer(reversible=reversible).train()
        model.reformer.embeddings.requires_grad_(False)
        logits_and_gradients(model, random_ids(1, 64), None)
        assert all(p.grad is not None for p in model.reformer.encoder.parameters())


def test_many_tokens_go_through_dense_layers_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = small_reformer(**NO_DROPOUT).train(), random_ids(2, 64)
    logits, gradients = logits_and_gradients(model, ids, None)
    monkeypatch.setattr(layers, "TOKENS_AT_A_TIME", 48)
    logits_in_parts, gradients_in_parts = logits_and_gradients(model, ids, None)
    torch.testing.assert_close(logits_in_parts, logits)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_in_parts[name], gradient)


@pytest.mark.parametrize("padding", ["none", "both"])
@pytest.mark.parametrize("reversible", ["off", "on"])
@pytest.mark.parametrize("frozen", [False, True])
def test_texts_side_by_side_equal_one_pass(
    set_threads: Callable[[int], None], frozen: bool, reversible: str, padding: str
) -> None:
    model = small_reformer(num_hashes=2, reversible=reversible, **NO_DROPOUT).train()
    model.reformer.embeddings.requires_grad_(not frozen)
    ids, mask = random_ids(5, 64), padding_mask(padding, 5, 64)
    found = []
    for threads in (1, 2, 3):  # 5, then 2 + 3, then 1 + 2 + 2 texts
        set_threads(threads)
        logits, gradients = logits_and_gradients(model, ids, mask)
        with torch.no_grad():
            whole = model(ids, attention_mask=mask, use_cache=False).logits
        found.append((logits, gradients, whole))
    for logits, gradients, whole in found[1:]:
        torch.testing.assert_close(logits, found[0][0])
        torch.testing.assert_close(whole, found[0][2])
        assert gradients.keys() == found[0][1].keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, found[0][1][name])


@pytest.mark.parametrize("reversible", ["off", "on"])
def test_tokens_of_one_text_side_by_side_equal_one_pass(
    set_threads: Callable[[int], None], reversible: str
) -> None:
    model, ids = small_reformer(reversible=reversible, **NO_DROPOUT).train(), random_ids(1, 80)
    set_threads(1)
    logits, gradients = logits_and_gradients(model, ids, None)
    set_threads(2)
    again, gradients_again = logits_and_gradients(model, ids, None)
    torch.testing.assert_close(again, logits)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_again[name], gradient)


def test_a_mistake_in_one_of_the_parts_is_raised(
    set_threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_threads(2)
    monkeypatch.setattr("reformer_seqlen.reformer.language_model.head_logits", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        small_reformer()(random_ids(2, 64), use_cache=False)


@pytest.mark.parametrize("probability", [0.0, 0.25])
def test_dense_layers_equal_plain_torch(probability: float) -> None:
    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, requires_grad=True)

    generator = torch.Generator().manual_seed(0)
    tokens, stream = leaf(70, 32), leaf(70, 32)
    scale, shift = leaf(32), leaf(32)
    inner, inner_bias, outer, outer_bias = leaf(48, 32), leaf(48), leaf(32, 48), leaf(32)
    leaves = [tokens, stream, scale, shift, inner, inner_bias, outer, outer_bias]
    first, second = Dropout(probability, 1), Dropout(probability, 2)

    hidden = NormedDense.apply(tokens, scale, shift, inner, inner_bias, 1e-12, 3)
    assert not hidden[:3].any()
    hidden = relu_dropped_(hidden[3:].clone(), first)
    result = DenseAdd.apply(stream, hidden, outer, outer_bias, second, first.scale)

    plain = F.linear(F.layer_norm(tokens, (32,), scale, shift, 1e-12), inner, inner_bias)
    plain = plain.relu() * first.bits(plain.shape, plain.device) * first.scale
    plain = F.linear(plain, outer, outer_bias)
    plain = stream + plain * second.bits(plain.shape, plain.device) * second.scale

    torch.testing.assert_close(result, plain, rtol=1e-5, atol=1e-4)
    ours = torch.autograd.grad(result.square().sum(), leaves)
    expected = torch.autograd.grad(plain.square().sum(), leaves)
    for found, right in zip(ours, expected, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4 * float(right.abs().max()))
