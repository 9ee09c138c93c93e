"""torch.compile takes the whole model as one graph, and torch.export what does not vary."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from reformer_seqlen.reformer.draws import derived_seed, kept_bits, mixed_seed, normal_numbers
from reformer_seqlen.runtime.errors import StudyError
from tests.reformer_example import padding_mask, random_ids, small_reformer

pytestmark = pytest.mark.slow

ONE_HEAD: dict[str, Any] = {"num_attention_heads": 1}
"""Heads are unrolled: each makes the graph, and the time to compile it, larger."""
DROPOUT: dict[str, Any] = {"hidden_dropout_prob": 0.1, "local_attention_probs_dropout_prob": 0.1}


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def logits_and_gradients(
    model: Any, called: Any, ids: Tensor, mask: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    """Of one pass; gradients only where they are enabled."""
    model.zero_grad()
    output = called(ids, attention_mask=mask, labels=ids)
    if torch.is_grad_enabled():
        output.loss.backward()
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return output.logits.detach(), found


def assert_equal_for_all_draws(
    model: Any, compiled: Any, mask: Tensor | None, tolerance: float, length: int = 128
) -> None:
    for step in range(2):
        ids = random_ids(2, length, seed=step)
        results = []
        for called in (model, compiled):
            model.set_hash_draw(5, step)
            results.append(logits_and_gradients(model, called, ids, mask))
        (logits, gradients), (compiled_logits, compiled_gradients) = results
        torch.testing.assert_close(compiled_logits, logits, atol=tolerance, rtol=0)
        assert bool(gradients) == torch.is_grad_enabled()
        for expected, found in zip(gradients, compiled_gradients, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("training", "options", "padding"),
    [
        (True, {"num_hashes": 2, "axial_pos_embds": True, "axial_pos_shape": (16, 64)}, "both"),
        (False, {"lsh_causality": "published"}, "right"),
        (True, {"lsh_causality": "published", "num_hashes": 2}, "none"),
    ],
)
def test_one_graph_serves_every_draw(training: bool, options: dict[str, Any], padding: str) -> None:
    """With gradients, in evaluation, too."""
    model = small_reformer(**DROPOUT, **options).train(training)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, backend=counter, fullgraph=True)  # refuses a break
    mask = padding_mask(padding, 2, 128)
    assert_equal_for_all_draws(model, compiled, mask, tolerance=1e-6)
    assert counter.frame_count == 1


def test_a_text_that_is_padded_to_whole_chunks() -> None:
    model = small_reformer(**ONE_HEAD)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    with torch.no_grad():
        assert_equal_for_all_draws(model, compiled, None, tolerance=1e-6, length=100)
    assert counter.frame_count == 1


def test_evaluation_with_gradients_a_cache_and_a_called_module() -> None:
    model, ids = small_reformer(attn_layers=["lsh"], **ONE_HEAD), random_ids(2, 64)
    query = model.reformer.encoder.layers[0].attention.self_attention.query_key
    query.register_forward_hook(lambda *_: None)
    found = []
    for called in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
        model.zero_grad()
        output = called(ids, labels=ids, use_cache=True)
        output.loss.backward()
        found.append((output.loss, query.weight.grad, output.past_buckets_states.layers[0].keys))
    for expected, right in zip(*found, strict=True):
        torch.testing.assert_close(right, expected)


def test_reversible_layers_are_left_to_run_as_they_are() -> None:
    model = small_reformer(reversible="on", **ONE_HEAD, **DROPOUT).train()
    compiled = torch.compile(model, backend="aot_eager")
    assert_equal_for_all_draws(model, compiled, None, tolerance=0)


@pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile's own backend needs a C++ compiler"
)
def test_generated_code_computes_the_same(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    model = small_reformer(attn_layers=["lsh"], **ONE_HEAD, **DROPOUT).train()
    counter = CompileCounterWithBackend("inductor")
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    # Without processes of its own, and without trying with g++ what the processor can do.
    with torch._inductor.config.patch({"compile_threads": 1, "cpp.vec_isa_ok": True}):
        assert_equal_for_all_draws(model, compiled, None, tolerance=1e-5)
    assert counter.frame_count == 1


BATCH = torch.export.Dim("batch", min=1, max=64)
CHUNKS = torch.export.Dim("chunks", min=3, max=64)


def test_evaluation_is_exported_for_any_number_of_texts(tmp_path: Path) -> None:
    """With gradients enabled, as they are where nobody thinks of them."""
    model = small_reformer(num_hashes=2, **ONE_HEAD)
    mask, path = torch.ones(2, 64), tmp_path / "model.pt2"
    mask[0, :20] = 0
    inputs = {"input_ids": random_ids(2, 64), "attention_mask": mask}
    shapes = {name: {0: BATCH} for name in inputs}
    torch.export.save(torch.export.export(model, (), inputs, dynamic_shapes=shapes), path)
    exported = torch.export.load(path).module()
    for batch in (1, 5):
        given = {"input_ids": random_ids(batch, 64), "attention_mask": mask[:1].expand(batch, -1)}
        torch.testing.assert_close(exported(**given).logits, model(**given).logits)


def test_a_model_whose_chunks_do_not_vary_is_exported_for_any_length() -> None:
    model = small_reformer(attn_layers=["lsh"], lsh_causality="published", **ONE_HEAD)
    shapes = {"input_ids": {0: BATCH, 1: 16 * CHUNKS}}
    exported = torch.export.export(model, (random_ids(2, 64),), dynamic_shapes=shapes).module()
    for length in (48, 512):
        ids = random_ids(1, length)
        torch.testing.assert_close(exported(ids).logits, model(ids).logits)


def test_training_is_not_exported() -> None:
    with pytest.raises(StudyError, match=r"call eval\(\) before torch\.export"):
        torch.export.export(small_reformer().train(), (random_ids(2, 64),))


@pytest.mark.parametrize("probability", [0.05, 0.5])
def test_seeds_of_both_kinds_give_the_same_numbers(probability: float) -> None:
    number, tensor = mixed_seed(3, 7), torch.tensor([3, 7])
    derived = derived_seed(tensor, 1, 2)
    assert isinstance(derived, Tensor)
    assert derived.item() == mixed_seed(3, 7, 1, 2)
    inner = derived_seed(derived_seed(tensor), 1)
    assert isinstance(inner, Tensor)
    assert inner.item() == derived_seed(number, 1)
    same = torch.tensor([number])
    assert torch.equal(normal_numbers(derived_seed(tensor), (3, 5)), normal_numbers(number, (3, 5)))
    one, other = (kept_bits(s, probability, (40, 9), torch.device("cpu")) for s in (number, same))
    assert torch.equal(one, other)
