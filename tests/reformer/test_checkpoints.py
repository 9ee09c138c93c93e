"""Checkpoints go both ways, position tables serve every length, and wrong input is explained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.models.reformer.modeling_reformer import ReformerModelWithLMHead

from reformer_seqlen.reformer import activations
from reformer_seqlen.reformer.activations import activation_bytes, recomputes
from reformer_seqlen.reformer.hashing import rotation_seed
from reformer_seqlen.reformer.model import (
    Reformer,
    StockReformer,
    create_reformer,
    hash_buckets,
    load_reformer,
    parameter_counts,
)
from reformer_seqlen.reformer.reversible import run_layers
from reformer_seqlen.runtime.errors import StudyError
from tests.reformer_example import random_ids, small_config, small_reformer

AXIAL: dict[str, Any] = {
    "axial_pos_embds": True,
    "axial_pos_shape": (32, 1024),
    "max_position_embeddings": 32768,
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint with axial positions, made by stock."""
    folder = tmp_path / "stock"
    model = small_reformer(**AXIAL)
    stock = ReformerModelWithLMHead(small_config(**AXIAL))
    stock.load_state_dict(model.state_dict())
    stock.save_pretrained(folder)
    return folder


def test_fine_tuned_model_loads_in_stock(checkpoint: Path, tmp_path: Path) -> None:
    model = load_reformer(checkpoint, sequence_length=64, lsh_causality="published").train()
    ids = random_ids(2, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    model.eval().save_pretrained(tmp_path / "tuned")

    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "tuned").eval()
    assert type(stock) is ReformerModelWithLMHead
    for index, layer in enumerate(stock.reformer.encoder.layers):
        layer.attention.self_attention.hash_seed = rotation_seed(9, 0, index)
    again = load_reformer(tmp_path / "tuned", sequence_length=64, lsh_causality="published").eval()
    with torch.no_grad():
        for ours in (model, again):
            ours.set_hash_draw(9)
            bias = ours.lm_head.bias  # was trained, and stock leaves it out
            assert bias.abs().max() > 1e-3
            expected = stock(ids, use_cache=False).logits + bias
            torch.testing.assert_close(ours(ids).logits, expected, atol=1e-5, rtol=1e-5)


def test_what_stock_trained_loads_here(tmp_path: Path) -> None:
    whole = {**AXIAL, "axial_pos_shape": (2, 32)}  # all that stock trains
    stock = ReformerModelWithLMHead(small_config(**whole)).train()
    ids = random_ids(2, 64)
    stock(ids, labels=ids).loss.backward()
    torch.optim.SGD(stock.parameters(), lr=0.1).step()
    stock.eval().save_pretrained(tmp_path / "tuned")

    ours = load_reformer(tmp_path / "tuned", sequence_length=64, lsh_causality="published").eval()
    ours.set_hash_draw(9)
    for index, layer in enumerate(stock.reformer.encoder.layers):
        layer.attention.self_attention.hash_seed = rotation_seed(9, 0, index)
    with torch.no_grad():
        expected = stock(ids, use_cache=False).logits
        torch.testing.assert_close(ours(ids).logits, expected, atol=1e-5, rtol=1e-5)


def test_axial_tables_and_configuration_are_kept(checkpoint: Path, tmp_path: Path) -> None:
    model = load_reformer(checkpoint, sequence_length=64)
    model.save_pretrained(tmp_path / "tuned")
    saved, original = (
        AutoModelForCausalLM.from_pretrained(folder).config.to_dict()
        for folder in (tmp_path / "tuned", checkpoint)
    )
    del original["_name_or_path"]
    assert {name: saved[name] for name in original} == original
    before = load_file(checkpoint / "model.safetensors")
    after = load_file(tmp_path / "tuned" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def without_dropout(model: Any) -> Any:
    """The model with its embeddings' dropout off."""
    model.reformer.embeddings.dropout = 0.0
    model.reformer.embeddings.position_embeddings.dropout = 0.0
    return model


def embedded(model: Any, **inputs: torch.Tensor) -> torch.Tensor:
    """Words and positions, as they go into the first layer."""
    found: torch.Tensor = model(**inputs, output_hidden_states=True).hidden_states[0]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("length", [64, 256, 2048, 16384])
def test_axial_prefix_is_the_one_of_the_full_length(checkpoint: Path, length: int) -> None:
    """Position by position what stock's evaluation, which allows any length, computes."""
    model = without_dropout(load_reformer(checkpoint, sequence_length=length))
    stock = AutoModelForCausalLM.from_pretrained(checkpoint).reformer.embeddings.eval()
    ids = random_ids(1, length)
    with torch.no_grad():
        expected = stock(ids)
        for training in (False, True):
            model.train(training)
            assert torch.equal(embedded(model, input_ids=ids), expected)


@pytest.mark.slow
def test_axial_positions_train_at_any_length(checkpoint: Path) -> None:
    for length in (64, 1024 + 64):
        model = load_reformer(checkpoint, sequence_length=length).train()
        ids = random_ids(1, length)
        model(ids, labels=ids).loss.backward()
        rows, columns = model.reformer.embeddings.position_embeddings.weights
        assert rows.grad[: -(-length // 1024)].any()
        assert not rows.grad[-(-length // 1024) :].any()
        assert not columns.grad[0, length:].any()


def test_axial_dropout_drops_whole_columns_of_a_text(checkpoint: Path) -> None:
    """As stock's dropout2d does: all positions of a column, or none."""
    model = without_dropout(load_reformer(checkpoint, sequence_length=2048)).train()
    model.reformer.embeddings.position_embeddings.dropout = 0.5
    vectors = embedded(model, inputs_embeds=torch.zeros(2, 2048, 32))
    dropped = (vectors == 0).view(2, 2, 1024, 32)
    assert torch.equal(dropped, dropped[:, :1, :, :1].expand_as(dropped))
    assert 0.4 < dropped.float().mean() < 0.6
    assert not torch.equal(dropped[0], dropped[1])


def test_learned_table_is_of_the_runs_own_length(checkpoint: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = load_reformer(checkpoint, sequence_length=128, positions="learned")
    assert parameter_counts(model)["position_table"] == 128 * 32
    model.save_pretrained(tmp_path / "learned")
    again = load_reformer(tmp_path / "learned", sequence_length=128, positions="learned")
    longer = load_reformer(tmp_path / "learned", sequence_length=256, positions="learned")
    tables = [m.reformer.embeddings.position_embeddings.embedding.weight for m in (model, again)]
    assert torch.equal(*tables)
    assert torch.equal(
        longer.reformer.embeddings.position_embeddings.embedding.weight[:128], tables[0]
    )
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "learned")
    assert stock.config.max_position_embeddings == 128


def test_published_table_has_a_row_for_every_position_of_the_limit(checkpoint: Path) -> None:
    model = load_reformer(checkpoint, sequence_length=64, positions="published")
    axial = load_reformer(checkpoint, sequence_length=64)
    counts, axial_counts = parameter_counts(model), parameter_counts(axial)
    assert counts["position_table"] == 32768 * 32
    assert axial_counts["position_table"] == 32 * 8 + 1024 * 24
    assert counts["without_positions"] == axial_counts["without_positions"]
    assert counts["total"] == sum(p.numel() for p in model.parameters())


def test_output_bias_of_old_checkpoints_is_honoured(checkpoint: Path) -> None:
    state = load_file(checkpoint / "model.safetensors")
    bias = state.pop("lm_head.bias") + torch.arange(40)
    save_file({**state, "lm_head.decoder.bias": bias}, checkpoint / "model.safetensors")
    model = load_reformer(checkpoint, sequence_length=64)
    assert torch.equal(model.lm_head.bias, bias)


def test_fresh_weights_obey_the_global_seed() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        found: torch.Tensor = create_reformer(small_config()).lm_head.decoder.weight
        return found

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_number_of_buckets_is_chosen_by_rule_or_hand(checkpoint: Path) -> None:
    def loaded(**options: Any) -> Reformer | StockReformer:
        return load_reformer(checkpoint, sequence_length=128, **options)

    assert loaded().config.lsh_num_buckets == [16]
    assert loaded().config.num_buckets == 8
    assert hash_buckets(loaded()) == 16
    published = loaded(lsh_causality="published")
    assert published.config.lsh_num_buckets is None
    assert published.config.num_buckets == 8
    by_hand = loaded(num_buckets=[2, 4])
    assert by_hand.config.lsh_num_buckets == [2, 4]
    assert by_hand.config.num_buckets == 8  # the checkpoint's own, for stock
    assert hash_buckets(by_hand) == hash_buckets(published) == 8
    assert hash_buckets(small_reformer("local")) is None
    stock = loaded(implementation="transformers", lsh_causality="published", num_buckets=4)
    assert stock.config.num_buckets == [4]
    assert loaded(num_hashes=3).config.num_hashes == 3


def test_activations_are_recomputed_where_memory_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, cpu = small_config(), torch.device("cpu")
    needed = 128 * activation_bytes(config)
    assert activations.memory_bytes(cpu) > needed
    assert not recomputes("auto", config, 128, cpu)
    assert recomputes("on", config, 128, cpu)
    monkeypatch.setattr(activations, "memory_bytes", lambda _: 2 * needed - 1)
    assert recomputes("auto", config, 128, cpu)
    assert not recomputes("off", config, 128, cpu)
    monkeypatch.setattr(activations, "memory_bytes", lambda _: 2 * needed)
    assert not recomputes("auto", config, 128, cpu)


@pytest.mark.parametrize(("tokens", "recomputed"), [(128, False), (127, True)])
def test_all_texts_of_a_batch_count_towards_its_memory(
    set_threads: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    tokens: int,
    recomputed: bool,
) -> None:
    set_threads(2)
    model = small_reformer().train()
    seen: list[bool] = []

    def watched(*arguments: Any) -> Any:
        seen.append(True)
        return run_layers(*arguments)

    monkeypatch.setattr("reformer_seqlen.reformer.streams.run_layers", watched)
    enough = 2 * tokens * activation_bytes(model.config)
    monkeypatch.setattr(activations, "memory_bytes", lambda _: enough)
    model(random_ids(2, 64))
    assert bool(seen) is recomputed


@pytest.mark.parametrize(
    ("name", "bias"), [(None, 0.0), ("lm_head.bias", 0.5), ("lm_head.decoder.bias", 0.5)]
)
def test_from_pretrained_knows_old_names_of_the_output_bias_and_does_without(
    checkpoint: Path, name: str | None, bias: float
) -> None:
    state = load_file(checkpoint / "model.safetensors")
    table = torch.full_like(state.pop("lm_head.bias"), 0.5)
    if name is not None:
        state[name] = table
    save_file(state, checkpoint / "model.safetensors", metadata={"format": "pt"})
    model = Reformer.from_pretrained(checkpoint)
    assert torch.equal(model.lm_head.bias, torch.full_like(table, bias))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequence_length": 65536}, "sequence_length is 65536.*hold 32768"),
        ({"positions": "sine"}, "positions is 'sine': choose axial"),
        ({"lsh_causality": "never"}, "lsh_causality is 'never'.*strict, published"),
        ({"reversible": "maybe"}, "reversible is 'maybe'"),
        ({"implementation": "flax"}, "implementation is 'flax'"),
        ({"implementation": "transformers"}, "stock transformers knows the published rule only"),
        ({"num_buckets": 7}, "num_buckets is 7.*even"),
        (
            {"implementation": "transformers", "reversible": "off", "lsh_causality": "published"},
            "reversible is off",
        ),
    ],
)
def test_wrong_options_are_explained(
    checkpoint: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        load_reformer(checkpoint, **{"sequence_length": 64, **options})


def test_wrong_folders_are_explained(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no config\.json"):
        load_reformer(tmp_path, sequence_length=64)
    state = load_file(checkpoint / "model.safetensors")
    state["lm_head.bias"] = torch.zeros(3)
    save_file(state, checkpoint / "model.safetensors")
    with pytest.raises(StudyError, match=r"the first lm_head\.bias"):
        load_reformer(checkpoint, sequence_length=64)
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(StudyError, match=r"no model\.safetensors"):
        load_reformer(checkpoint, sequence_length=64)


def test_unreadable_folders_are_explained(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(StudyError, match="no readable checkpoint"):
        load_reformer(checkpoint, sequence_length=64)


@pytest.mark.parametrize(
    ("config", "message"),
    [("{", "no readable checkpoint"), ('{"model_type": "gpt2"}', "is of a gpt2")],
)
def test_other_configurations_are_explained(checkpoint: Path, config: str, message: str) -> None:
    (checkpoint / "config.json").write_text(config)
    with pytest.raises(StudyError, match=message):
        load_reformer(checkpoint, sequence_length=64)


def test_wrong_texts_are_explained(checkpoint: Path) -> None:
    model = load_reformer(checkpoint, sequence_length=64).train()
    with pytest.raises(StudyError, match=r"100 tokens.*multiple of 16.*choose 112 or 96"):
        model(random_ids(1, 100))
    with pytest.raises(StudyError, match=r"position 32784.*holds 32768"):
        model(random_ids(1, 32768 + 16))
    with pytest.raises(StudyError, match="either input_ids or inputs_embeds"):
        model()
    with pytest.raises(StudyError, match="output_attentions is true"):
        model(random_ids(1, 64), output_attentions=True)
    stock = load_reformer(
        checkpoint, sequence_length=64, implementation="transformers", lsh_causality="published"
    )
    with pytest.raises(StudyError, match="axial positions at 32768 tokens only"):
        stock.train()(random_ids(1, 64))


def test_wrong_configurations_are_explained() -> None:
    with pytest.raises(StudyError, match="hidden_act is gelu"):
        create_reformer(small_config(hidden_act="gelu"))
    with pytest.raises(StudyError, match="lsh_num_chunks_before is 0"):
        create_reformer(small_config(lsh_num_chunks_before=0))
