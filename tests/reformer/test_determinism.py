"""The same seed gives the same bytes, with or without a stop; another seed gives others."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from reformer_seqlen.reformer import precision
from reformer_seqlen.reformer.dropout import Dropout
from reformer_seqlen.reformer.hashing import draw_rotations, rotation_seed
from reformer_seqlen.reformer.model import Reformer, StockReformer
from reformer_seqlen.runtime.errors import StudyError
from tests.reformer_example import DROPOUT, lively, random_ids, small_config


def trained(
    kind: type[Any], seed: int, stop_after: int | None = None, **changes: Any
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and weights of four updates, from a fresh process's state after a stop."""

    def fresh() -> tuple[Any, torch.optim.Optimizer]:
        torch.manual_seed(7)
        model = lively(kind(small_config(**{**DROPOUT, **changes}))).train()
        return model, torch.optim.AdamW(model.parameters(), lr=1e-2)

    model, optimizer = fresh()
    losses = []
    for step in range(4):
        if step == stop_after:
            states = model.state_dict(), optimizer.state_dict()
            model, optimizer = fresh()
            model.load_state_dict(states[0])
            optimizer.load_state_dict(states[1])
            torch.manual_seed(999)
        ids = random_ids(6, 64, seed=step)
        model.set_hash_draw(seed, step)
        for part in ids.split([3, 2, 1]):  # gradient accumulation: masks of their own
            logits = model(part, use_cache=False).logits
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), part[:, 1:].flatten())
            losses.append(loss.item())
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return losses, model.state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Reformer, {"reversible": "off"}),
        (Reformer, {"reversible": "on"}),
        (Reformer, {"lsh_causality": "published", "num_hashes": 2, "reversible": "on"}),
        (StockReformer, {}),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.slow
def test_training_is_a_function_of_its_seed(
    set_threads: Callable[[int], None], kind: type[Any], changes: dict[str, Any], threads: int
) -> None:
    set_threads(threads)
    losses, weights = trained(kind, 1, **changes)
    for stop_after in (None, 2):
        again, weights_again = trained(kind, 1, stop_after, **changes)
        assert again == losses
        assert equal(weights_again, weights)
    others, other_weights = trained(kind, 2, **changes)
    assert others[0] != losses[0]
    assert not equal(other_weights, weights)


def test_dropout_obeys_the_global_seed_without_a_draw() -> None:
    model = lively(Reformer(small_config(**DROPOUT))).train()
    ids = random_ids(1, 64)

    def logits(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        found: torch.Tensor = model(ids).logits
        return found

    assert torch.equal(logits(1), logits(1))
    assert not torch.equal(logits(1), logits(2))


def test_recomputed_dropout_and_buckets_are_those_of_the_forward_pass() -> None:
    gradients = []
    for reversible in ("off", "on"):
        torch.manual_seed(0)
        model = lively(Reformer(small_config(**DROPOUT, reversible=reversible))).train()
        model.set_hash_draw(4, 2)
        model(random_ids(2, 64), labels=random_ids(2, 64)).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for off, on in zip(*gradients, strict=True):
        assert off is not None
        torch.testing.assert_close(off, on, rtol=1e-5, atol=1e-5 * float(off.abs().max()))


def test_texts_have_dropout_masks_of_their_own(set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    model = lively(Reformer(small_config("local", **DROPOUT))).train()
    model.set_hash_draw(4, 2)
    one, other = model(random_ids(1, 64).expand(2, -1)).logits
    assert not torch.equal(one, other)


def test_the_global_generator_is_left_alone() -> None:
    model = Reformer(small_config(**DROPOUT)).train()
    model.set_hash_draw(1, 1)
    before = torch.get_rng_state()
    model(random_ids(1, 64), labels=random_ids(1, 64)).loss.backward()
    model.eval()(random_ids(1, 64))
    assert torch.equal(torch.get_rng_state(), before)


def test_rotations_differ_by_seed_step_and_layer() -> None:
    like = torch.empty(0)
    draws = {(seed, step, layer) for seed in (0, 1) for step in (0, 1) for layer in (0, 1)}
    rotations = [draw_rotations(rotation_seed(*draw), (2, 4, 1, 2), like) for draw in draws]
    assert len({tuple(rotation.flatten().tolist()) for rotation in rotations}) == len(draws)


def test_evaluation_is_a_function_of_the_draw() -> None:
    model = lively(Reformer(small_config("lsh", lsh_num_buckets=8))).eval()
    ids = random_ids(1, 128)

    def logits(*draw: int) -> torch.Tensor:
        model.set_hash_draw(*draw)
        found: torch.Tensor = model(ids).logits
        return found

    assert torch.equal(logits(3, 1), logits(3, 1))
    assert not torch.equal(logits(3, 1), logits(3, 2))
    assert not torch.equal(logits(3, 1), logits(4, 1))


def test_no_two_places_share_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[Any] = []

    class Recorded(Dropout):
        def bits(self, shape: torch.Size, device: torch.device) -> torch.Tensor:
            seeds.append(self.seed)
            return super().bits(shape, device)

    monkeypatch.setattr("reformer_seqlen.reformer.layers.Dropout", Recorded)
    layers = ["local", "lsh"] * 6
    model = Reformer(small_config(attn_layers=layers, reversible="off", **DROPOUT)).train()
    model.set_hash_draw(0)
    model(random_ids(2, 64))
    # words, positions, head; of a layer three, and probabilities: of each head, of all heads
    assert len(seeds) == 3 + 12 * 3 + 6 * 2 + 6
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("probability", [0.05, 0.2, 0.5])
def test_dropout_drops_as_many_as_configured(probability: float) -> None:
    shape, device = torch.Size((1000,)), torch.device("cpu")
    kept = torch.stack([Dropout(probability, seed).bits(shape, device) for seed in range(2000)])
    share = 1 - kept.float().mean().item()
    assert share == pytest.approx(probability, abs=4 * (probability / 2e6) ** 0.5)
    # no element and no draw is favoured
    spread = kept.float().mean(0).std().item()
    assert spread == pytest.approx((probability * (1 - probability) / 2000) ** 0.5, rel=0.1)
    assert torch.equal(kept[5], Dropout(probability, 5).bits(shape, device))


def test_bfloat16_products_stay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bfloat16_pays", lambda: True)
    torch.manual_seed(0)
    model = Reformer(small_config("local")).train()  # rounding would hash otherwise
    ids = random_ids(4, 64)
    losses = []
    for enabled in (False, True):
        model.set_hash_draw(0)
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            output = model(ids, labels=ids)
        assert output.logits.dtype == torch.float32
        output.loss.backward()
        losses.append(output.loss.item())
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.slow
def test_training_in_bfloat16_ends_where_float32_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bfloat16_pays", lambda: True)
    text = Path(textwrap.__file__).read_bytes()[: 140 * 64]  # one of Python's own modules
    texts = torch.frombuffer(bytearray(text), dtype=torch.uint8).long().view(140, 64)
    perplexities = []
    for enabled in (False, True):
        torch.manual_seed(0)
        model = Reformer(small_config(attn_layers=["local"], vocab_size=128, **DROPOUT))
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for step in range(40):
            model.train().set_hash_draw(0, step)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                batch = texts[step % 30 :: 35]
                model(batch, labels=batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        held_out = torch.cat([texts[rest::35] for rest in range(30, 35)])
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = model.eval()(held_out, labels=held_out, use_cache=False).loss
        perplexities.append(loss.exp().item())
    assert perplexities[0] < 20  # it has learnt something
    assert perplexities[1] != perplexities[0]
    assert perplexities[1] == pytest.approx(perplexities[0], rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("reversible", ["off", "on"])
def test_bfloat16_trains_every_kind_of_layer(
    monkeypatch: pytest.MonkeyPatch, reversible: str
) -> None:
    monkeypatch.setattr(precision, "bfloat16_pays", lambda: True)
    torch.manual_seed(0)
    model = Reformer(small_config(num_hashes=2, reversible=reversible, **DROPOUT)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = random_ids(2, 64)
    losses = []
    for step in range(20):
        model.set_hash_draw(0, step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("cpuinfo", "fast"),
    [
        ("vendor_id : GenuineIntel\nflags : avx512f avx512_bf16 amx_tile amx_bf16", True),
        ("vendor_id : GenuineIntel\nflags : avx512f avx512_bf16", False),
        ("vendor_id : AuthenticAMD\nflags : avx512f avx512_bf16", True),
        ("vendor_id : AuthenticAMD\nflags : avx2 fma", False),
        ("CPU implementer : 0x41\nFeatures : asimd sve i8mm bf16", True),
        ("CPU implementer : 0x41\nFeatures : asimd asimdhp", False),
    ],
)
def test_processors_with_fast_bfloat16_are_known(cpuinfo: str, fast: bool) -> None:
    assert precision.multiplies_bfloat16_fast(cpuinfo) is fast


def test_a_system_that_does_not_say_is_taken_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(precision, "Path", lambda _: SimpleNamespace(read_text=missing))
    assert precision.bfloat16_pays.__wrapped__() is False


def test_processors_without_fast_bfloat16_multiply_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    like = torch.empty(0)
    for pays, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(precision, "bfloat16_pays", lambda pays=pays: pays)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert precision.product_dtype(like) == dtype
    assert precision.product_dtype(like) == torch.float32
    with torch.autocast("cpu", dtype=torch.float16), pytest.raises(StudyError, match="float16"):
        precision.product_dtype(like)
