"""The Reformer: equal to stock transformers, causal if asked, reproducible, at every length."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, ReformerConfig
from transformers.models.reformer.modeling_reformer import ReformerModelWithLMHead

from stages.reformer.model import create_reformer, load_reformer, parameter_counts
from stages.study.errors import StudyError

VOCABULARY = 50


def config(**values: Any) -> ReformerConfig:
    """A small Reformer with everything that the published one has."""
    small = {
        "attn_layers": ["local", "lsh", "local", "lsh"],
        "hidden_size": 32,
        "num_attention_heads": 2,
        "attention_head_size": 16,
        "feed_forward_size": 64,
        "vocab_size": VOCABULARY,
        "axial_pos_shape": [16, 16],
        "axial_pos_embds_dim": [8, 24],
        "max_position_embeddings": 256,
        "num_buckets": 8,
        "num_hashes": 1,
        "hidden_dropout_prob": 0.0,
        "local_attention_probs_dropout_prob": 0.0,
        "lsh_attention_probs_dropout_prob": 0.0,
        "is_decoder": True,
        "pad_token_id": 0,
        "use_cache": False,
    }
    return ReformerConfig(**{**small, **values})


def saved(folder: Path, **values: Any) -> Path:
    """A checkpoint with random weights, large enough that attention matters, and no output bias."""
    torch.manual_seed(1)
    model = create_reformer(config(**values))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.dim() > 1 else None
    model.save_pretrained(folder)
    return folder


def text(length: int, batch: int = 2) -> Tensor:
    return torch.randint(1, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(5))


def both(folder: Path, length: int, **options: Any) -> tuple[Any, Any]:
    """Our model and stock's of one checkpoint, with the same draw of the hashes."""
    options = {"positions": "axial", "lsh_causality": "published", **options}
    ours = load_reformer(folder, sequence_length=length, **options)
    stock = load_reformer(
        folder,
        sequence_length=length,
        **{**options, "implementation": "transformers", "reversible": "auto"},
    )
    for model in (ours, stock):
        model.set_hash_draw(3, 7)
    return ours.eval(), stock.eval()


@pytest.mark.parametrize("num_hashes", [1, 2, 4])
@pytest.mark.parametrize("length", [64, 256])
@pytest.mark.parametrize("layers", [["local", "local"], ["lsh", "lsh"], ["local", "lsh"]], ids=str)
def test_logits_equal_stock_transformers(
    tmp_path: Path, layers: list[str], length: int, num_hashes: int
) -> None:
    folder = saved(tmp_path, attn_layers=layers, num_hashes=num_hashes)
    ours, stock = both(folder, length)
    with torch.no_grad():
        expected = stock(text(length)).logits
        assert torch.allclose(ours(text(length)).logits, expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.1


def test_logits_equal_stock_transformers_at_4096_with_factored_buckets(tmp_path: Path) -> None:
    folder = saved(
        tmp_path, axial_pos_shape=[64, 64], max_position_embeddings=4096, num_buckets=[8, 16]
    )
    ours, stock = both(folder, 4096)
    with torch.no_grad():
        expected = stock(text(4096, 1)).logits
        assert torch.allclose(ours(text(4096, 1)).logits, expected, atol=1e-5, rtol=1e-5)


def test_logits_equal_stock_transformers_under_a_padding_mask(tmp_path: Path) -> None:
    ours, stock = both(saved(tmp_path), 256)
    mask = torch.ones(2, 256, dtype=torch.long)
    mask[0, 200:] = 0
    with torch.no_grad():
        expected = stock(text(256), attention_mask=mask).logits
        found = ours(text(256), attention_mask=mask).logits
    assert torch.allclose(found[mask == 1], expected[mask == 1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("reversible", ["on", "off"])
@pytest.mark.parametrize("positions", ["axial", "learned"])
def test_gradients_equal_stock_transformers(
    tmp_path: Path, positions: str, reversible: str
) -> None:
    folder = saved(tmp_path)
    ours, stock = both(folder, 256, positions=positions, reversible=reversible)
    stock.load_state_dict(ours.state_dict())
    targets = text(256).flip(0)
    for model in (ours, stock):
        model.train()
        logits = model(text(256)).logits.flatten(0, 1)
        torch.nn.functional.cross_entropy(logits, targets.flatten()).backward()
    expected = dict(stock.named_parameters())
    for name, parameter in ours.named_parameters():
        if name != "lm_head.bias":
            gradient = expected[name].grad
            assert torch.allclose(parameter.grad, gradient, atol=1e-5, rtol=1e-4), name


def test_the_output_bias_that_stock_drops_is_added(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    ours, _ = both(folder, 64)
    with torch.no_grad():
        before = ours(text(64)).logits
        ours.lm_head.bias.copy_(torch.arange(VOCABULARY) / 10)
        assert torch.allclose(ours(text(64)).logits, before + torch.arange(VOCABULARY) / 10)
    ours.save_pretrained(tmp_path / "biased")
    again, _ = both(tmp_path / "biased", 64)
    with torch.no_grad():
        assert torch.equal(again(text(64)).logits, ours(text(64)).logits)


def test_what_we_save_loads_in_stock_transformers(tmp_path: Path) -> None:
    ours, _ = both(saved(tmp_path), 256)
    stock = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(stock) is ReformerModelWithLMHead
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter, dict(stock.named_parameters())[name]), name


CAUSAL_LAYERS = [["local"] * 2, ["lsh"] * 2, ["local", "lsh", "local", "lsh"]]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("num_hashes", [1, 2, 4])
@pytest.mark.parametrize("layers", CAUSAL_LAYERS, ids=str)
def test_strict_attention_does_not_see_the_future(
    tmp_path: Path, layers: list[str], num_hashes: int, padded: bool
) -> None:
    folder = saved(tmp_path, attn_layers=layers, num_hashes=num_hashes)
    model: Any = load_reformer(folder, sequence_length=256, lsh_causality="strict").eval()
    changed = text(256)
    changed[:, 200:] = text(256).flip(1)[:, 200:]
    mask = torch.ones(2, 256, dtype=torch.long)
    if padded:
        mask[:, 240:] = 0
    with torch.no_grad():
        first, second = (model(ids, attention_mask=mask).logits for ids in (text(256), changed))
    assert torch.equal(first[:, :200], second[:, :200])
    assert not torch.equal(first[:, 200:], second[:, 200:])


def test_the_published_rule_does_see_the_future(tmp_path: Path) -> None:
    ours, _ = both(saved(tmp_path, attn_layers=["lsh"] * 2), 256)
    changed = text(256)
    changed[:, 200:] = text(256).flip(1)[:, 200:]
    with torch.no_grad():
        difference = (ours(text(256)).logits - ours(changed).logits)[:, :200].abs().max()
    assert difference > 1e-3


def test_a_prefix_alone_scores_as_inside_a_longer_text(tmp_path: Path) -> None:
    model: Any = load_reformer(saved(tmp_path), sequence_length=256).eval()
    with torch.no_grad():
        whole = model(text(256)).logits
        model.config.lsh_num_buckets = model.config.lsh_num_buckets or [8]
        prefix = model(text(256)[:, :128]).logits
    assert torch.allclose(prefix, whole[:, :128], atol=1e-5)


def test_cached_generation_equals_parallel_scoring(tmp_path: Path) -> None:
    model: Any = load_reformer(saved(tmp_path), sequence_length=256).eval()
    prompt = text(40, 1)
    drawn = model.generate(prompt, max_new_tokens=40, do_sample=False, use_cache=True)
    assert drawn.shape == (1, 80)
    with torch.no_grad():
        greedy = model(drawn).logits.argmax(-1)
    assert drawn[0, 40:].tolist() == greedy[0, 39:-1].tolist()


@pytest.mark.parametrize("length", [256, 2048, 16384])
def test_axial_positions_of_a_short_text_are_those_of_the_whole_table(length: int) -> None:
    torch.manual_seed(0)
    model: Any = create_reformer(
        config(attn_layers=["local"], axial_pos_shape=[512, 1024], max_position_embeddings=524288)
    )
    from stages.reformer.axial_positions import prefix_embeddings

    tables = model.reformer.embeddings.position_embeddings
    ours = prefix_embeddings(tables, length)
    with torch.no_grad():
        stock = tables.eval()(torch.arange(length)[None])[0]
    assert torch.equal(ours, stock)


def test_training_at_a_short_length_keeps_the_whole_tables(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    model: Any = load_reformer(folder, sequence_length=64).train()
    model.set_hash_draw(1)
    model(text(64)).logits.sum().backward()
    model.save_pretrained(tmp_path / "tuned")
    kept = ReformerConfig.from_pretrained(tmp_path / "tuned")
    assert list(kept.axial_pos_shape) == [16, 16]
    assert kept.max_position_embeddings == 256
    counts = parameter_counts(model)
    assert counts["position_table"] == 16 * 8 + 16 * 24
    assert counts["total"] == sum(p.numel() for p in model.parameters())


def losses(folder: Path, seed: int) -> list[float]:
    model: Any = load_reformer(folder, sequence_length=128, reversible="on").train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = []
    for step in range(3):
        model.set_hash_draw(seed, step)
        loss = torch.nn.functional.cross_entropy(
            model(text(128)).logits.flatten(0, 1), text(128).flip(0).flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_the_same_seed_gives_the_same_losses_with_dropout_lsh_and_reversible_layers(
    tmp_path: Path,
) -> None:
    folder = saved(tmp_path, hidden_dropout_prob=0.1, lsh_attention_probs_dropout_prob=0.1)
    first = losses(folder, 1)
    torch.manual_seed(99)
    assert losses(folder, 1) == first
    assert losses(folder, 2) != first


def test_hash_draws_leave_the_global_generator_alone(tmp_path: Path) -> None:
    model: Any = load_reformer(saved(tmp_path), sequence_length=64).eval()
    before = torch.get_rng_state()
    model.set_hash_draw(4)
    model(text(64))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_length_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    with pytest.raises(StudyError, match=r"sequence_length is 512, but the axial tables"):
        load_reformer(folder, sequence_length=512)
    model: Any = load_reformer(folder, sequence_length=128).train()
    with pytest.raises(StudyError, match="training needs a multiple of 64"):
        model(text(100))


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="so it is no checkpoint"):
        load_reformer(tmp_path, sequence_length=64)
