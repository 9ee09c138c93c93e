"""What others do to a model's modules has its effect, or is refused by the module's name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from peft import AutoPeftModel, LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from reformer_seqlen.reformer import precision
from reformer_seqlen.reformer.model import Reformer
from reformer_seqlen.runtime.errors import StudyError
from tests.reformer_example import DROPOUT, random_ids, small_reformer

AXIAL: dict[str, Any] = {"axial_pos_embds": True, "axial_pos_shape": (16, 64)}
LOCAL, LSH = (f"reformer.encoder.layers.{index}.attention.self_attention" for index in (0, 1))
QUERY = f"{LOCAL}.query"


def lora(model: Reformer, *names: str, **options: Any) -> Any:
    """The model with adapters of rank 4 on modules of these names."""
    return get_peft_model(
        model, LoraConfig(r=4, target_modules=[*names], task_type="CAUSAL_LM", **options)
    )


def logits_and_gradients(model: Any, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Of one pass under a fixed draw."""
    model.zero_grad()
    model.set_hash_draw(1)
    output = model(ids, labels=ids)
    output.loss.backward()
    return output.logits.detach(), {n: p.grad for n, p in model.named_parameters()}


def continued(model: Any) -> Tensor:
    """A text, greedily continued."""
    ids = random_ids(1, 20)
    found: Tensor = model.generate(
        input_ids=ids, max_new_tokens=8, do_sample=False, eos_token_id=None
    )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("reversible", ["off", "on"])
@pytest.mark.parametrize("positions", [{}, AXIAL], ids=["plain", "axial"])
@pytest.mark.parametrize("causality", ["strict", "published"])
def test_called_modules_compute_what_their_weights_say(
    causality: str, positions: dict[str, Any], reversible: str
) -> None:
    """In training with the same dropout, too."""
    options: dict[str, Any] = {"lsh_causality": causality, "reversible": reversible}
    model = small_reformer(num_hashes=2, **options, **positions, **DROPOUT).train()
    ids = random_ids(3, 64)
    expected, gradients = logits_and_gradients(model, ids)
    model.get_submodule(QUERY).register_forward_hook(lambda *_: None)
    logits, found = logits_and_gradients(model, ids)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients.items():
        atol = 1e-5 * float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, atol=atol, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("reversible", ["off", "on"])
def test_adapters_of_queries_keys_and_values_train(reversible: str) -> None:
    model, ids = small_reformer(reversible=reversible), random_ids(4, 64)
    adapted = lora(model, "query", "key", "value", "query_key", lora_dropout=0.1).train()
    before = {name: weights.clone() for name, weights in adapted.named_parameters()}
    trained = [weights for weights in adapted.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    losses = []
    for step in range(20):
        model.set_hash_draw(0, step)
        loss = adapted(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    moved = {n for n, weights in adapted.named_parameters() if not torch.equal(weights, before[n])}
    assert moved == {name for name in before if "lora_" in name}
    assert len(moved) == 2 * 5  # of three projections in one layer, of two in the other


def test_adapters_score_and_generate_as_they_do_merged() -> None:
    model, ids = small_reformer(), random_ids(2, 50)
    adapted = lora(model, "query", "query_key", "value", "decoder", init_lora_weights=False).eval()
    with torch.no_grad():
        plain = small_reformer()(ids).logits
        logits, text = adapted(input_ids=ids).logits, continued(adapted)
        merged = adapted.merge_and_unload()
        torch.testing.assert_close(merged(ids).logits, logits, atol=1e-4, rtol=1e-4)
        assert torch.equal(continued(merged), text)
    assert (logits - plain).abs().max() > 0.1


def test_adapters_are_loaded_onto_our_model(tmp_path: Path) -> None:
    small_reformer().save_pretrained(tmp_path / "base")
    model, ids = Reformer.from_pretrained(tmp_path / "base").eval(), random_ids(2, 64)
    config = LoraConfig(r=4, target_modules=["query", "query_key"], init_lora_weights=False)
    adapted = get_peft_model(model, config)
    adapted.save_pretrained(tmp_path / "adapters")
    allowed = [Reformer.__module__]
    loaded = AutoPeftModel.from_pretrained(tmp_path / "adapters", import_allowlist=allowed).eval()
    assert isinstance(loaded.base_model.model, Reformer)
    with torch.no_grad():
        assert torch.equal(loaded(input_ids=ids).logits, adapted(input_ids=ids).logits)


def test_a_whole_output_layer_beside_adapters_trains() -> None:
    adapted, ids = lora(small_reformer(), "query", modules_to_save=["lm_head"]), random_ids(2, 64)
    adapted.train()(input_ids=ids, labels=ids).loss.backward()
    head = adapted.base_model.model.lm_head.modules_to_save["default"]
    assert head.bias.grad.any()
    assert head.decoder.weight.grad.any()


def test_adapters_under_bfloat16_stay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bfloat16_pays", lambda: True)
    model, ids = small_reformer("local"), random_ids(2, 64)
    adapted = lora(model, "query", init_lora_weights=False).train()
    seen: list[torch.dtype] = []
    query = model.get_submodule(QUERY)
    query.register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))
    losses = []
    for enabled in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            model.set_hash_draw(0)
            losses.append(adapted(input_ids=ids, labels=ids).loss)
        losses[-1].backward()
    assert seen == [torch.bfloat16, torch.float32]
    torch.testing.assert_close(*losses, atol=0.02, rtol=0)


@pytest.mark.parametrize("name", [QUERY, f"{LSH}.query_key", "lm_head", "lm_head.decoder"])
def test_a_hook_sees_the_whole_batch_once(name: str, set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    model, seen = small_reformer(), []
    hook = model.get_submodule(name).register_forward_hook(
        lambda _, inputs, output: seen.append(inputs[0].shape[:2])
    )
    model(random_ids(5, 64))
    assert seen == [(5, 64)]
    hook.remove()
    model(random_ids(5, 64))
    assert len(seen) == 1


def test_a_vector_that_a_hook_adds_gets_its_gradient() -> None:
    gradients = []
    for reversible in ("off", "on"):
        model, added = small_reformer(reversible=reversible).train(), nn.Parameter(torch.zeros(32))
        model.get_submodule(QUERY).register_forward_hook(lambda *given, v=added: given[2] + v)
        logits_and_gradients(model, random_ids(2, 64))
        gradients.append(added.grad)
    assert gradients[0] is not None
    assert gradients[0].any()
    torch.testing.assert_close(*gradients)


def test_pruned_weights_are_zero_in_every_pass() -> None:
    model, ids = small_reformer(), random_ids(2, 64)
    query = model.get_submodule(QUERY)
    with torch.no_grad():
        whole = model(ids).logits
        prune.l1_unstructured(query, "weight", amount=0.5)
        query.weight_orig += 1  # what is pruned stays pruned
        pruned = model(ids).logits
        prune.remove(query, "weight")
        torch.testing.assert_close(model(ids).logits, pruned, atol=1e-5, rtol=1e-5)
    assert (query.weight == 0).float().mean() == 0.5
    assert (pruned - whole).abs().max() > 0.1


class Halved(nn.Module):
    """A parametrization."""

    def forward(self, weight: Tensor) -> Tensor:
        """Half of it."""
        return weight / 2


@pytest.mark.parametrize(
    "name",
    [
        "reformer.embeddings.position_embeddings.embedding",
        "reformer.encoder.layers.0.attention.output.dense",
        "reformer.encoder.layers.1.attention.layer_norm",
        "reformer.encoder.layers.1.feed_forward.dense.dense",
        "reformer.encoder.layers.1.feed_forward.output.dense",
        "reformer.encoder.layer_norm",
        f"{LSH}.value",
        "lm_head.decoder",
    ],
)
def test_parametrizations_count(name: str) -> None:
    model, halved, ids = small_reformer(), small_reformer(), random_ids(2, 64)
    parametrize.register_parametrization(model.get_submodule(name), "weight", Halved())
    with torch.no_grad():
        halved.get_submodule(name).weight /= 2
        torch.testing.assert_close(model(ids).logits, halved(ids).logits, atol=1e-5, rtol=1e-5)
        assert torch.equal(continued(model), continued(halved))


def test_dynamic_quantization_scores_and_generates() -> None:
    model, ids = small_reformer("local"), random_ids(2, 64)
    quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    with torch.no_grad():
        difference = quantized(ids).logits - model(ids).logits
    assert 0 < difference.abs().max() < 0.5
    assert continued(quantized).shape == (1, 28)


@pytest.mark.parametrize("where", ["cpu", "disk"])
def test_weights_may_be_offloaded(where: str, tmp_path: Path) -> None:
    model, ids = small_reformer(), random_ids(2, 50)
    with torch.no_grad():
        logits, text = model(ids).logits, continued(model)
        if where == "cpu":
            accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
        else:
            accelerate.disk_offload(model, tmp_path, execution_device=torch.device("cpu"))
        assert {weights.device.type for weights in model.parameters()} == {"meta"}
        torch.testing.assert_close(model(ids).logits, logits, atol=1e-5, rtol=1e-5)
        assert torch.equal(continued(model), text)


@pytest.mark.parametrize(
    "name",
    [
        "reformer",
        "reformer.embeddings.position_embeddings.weights",
        "reformer.encoder.layers.1",
        LSH,
        "reformer.encoder.layers.0.feed_forward.dense",
    ],
)
def test_a_hook_on_what_is_never_called_is_refused_by_name(name: str) -> None:
    model = small_reformer(**AXIAL)
    hook = model.get_submodule(name).register_forward_hook(lambda *_: None)
    with pytest.raises(StudyError, match=rf"^{name} .*carries a hook or was replaced"):
        model(random_ids(1, 64))
    hook.remove()
    model(random_ids(1, 64))


@pytest.mark.slow
def test_a_layer_that_was_wrapped_is_refused_by_name() -> None:
    model = small_reformer()
    model.reformer.encoder.layers[1] = torch.compile(model.reformer.encoder.layers[1])
    with pytest.raises(StudyError, match=r"encoder\.layers\.1 \(of class OptimizedModule\)"):
        model(random_ids(1, 64))
