"""Strictly causal attention sees nothing of the future; the published one does."""

import pytest
import torch

from reformer_seqlen.reformer.chunked_attention import Geometry
from reformer_seqlen.reformer.dropout import Dropout
from reformer_seqlen.reformer.hash_order import HashRule, strict_geometry
from reformer_seqlen.reformer.hashed_attention import HashedAttention
from reformer_seqlen.reformer.hashing import recommended_buckets
from tests.reformer_example import (
    DROPOUT,
    KINDS_AND_ROUNDS,
    padding_mask,
    random_ids,
    small_reformer,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("padding", ["none", "left", "right"])
@pytest.mark.parametrize(("kind", "rounds"), KINDS_AND_ROUNDS)
def test_the_future_changes_exactly_nothing(
    kind: str, rounds: int, padding: str, dtype: torch.dtype
) -> None:
    length = 192
    model = small_reformer(kind, num_hashes=rounds, lsh_num_buckets=8).to(dtype)
    mask = padding_mask(padding, 3, length)
    ids = random_ids(3, length)
    with torch.no_grad():
        logits = model(ids, attention_mask=mask).logits
        for cut in (1, 15, 16, 33, 64, 100, 191):
            changed = torch.cat([ids[:, :cut], random_ids(3, length - cut, seed=cut)], dim=1)
            difference = (model(changed, attention_mask=mask).logits - logits).abs()
            assert difference[:, :cut].max() == 0
            assert difference[:, cut:].max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["none", "left"])
@pytest.mark.parametrize(
    ("kind", "rounds"), [("local", 1), *(("lsh", rounds) for rounds in (1, 2, 3)), ("mixed", 2)]
)
def test_the_future_changes_exactly_nothing_in_training(
    kind: str, rounds: int, padding: str
) -> None:
    """With the same seed, dropout drops the same of a token whatever comes after it."""
    length = 192
    model = small_reformer(kind, num_hashes=rounds, lsh_num_buckets=8, **DROPOUT).train()
    mask, ids = padding_mask(padding, 3, length), random_ids(3, length)

    def logits(ids: torch.Tensor) -> torch.Tensor:
        model.set_hash_draw(1)
        found: torch.Tensor = model(ids, attention_mask=mask).logits
        return found

    before = logits(ids)
    for cut in (1, 33, 100, 191):
        changed = torch.cat([ids[:, :cut], random_ids(3, length - cut, seed=cut)], dim=1)
        assert torch.equal(logits(changed)[:, :cut], before[:, :cut])


def test_the_future_changes_nothing_with_wider_windows() -> None:
    model = small_reformer(local_num_chunks_before=2, lsh_num_chunks_before=2, lsh_num_buckets=4)
    ids = random_ids(2, 192)
    with torch.no_grad():
        logits = model(ids).logits
        for cut in (20, 100):
            changed = torch.cat([ids[:, :cut], random_ids(2, 192 - cut, seed=cut)], dim=1)
            assert torch.equal(model(changed).logits[:, :cut], logits[:, :cut])
            torch.testing.assert_close(model(ids[:, :cut]).logits, logits[:, :cut])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("chunk", "before"), [(256, 1), (128, 2), (64, 5), (64, 1)])
def test_the_future_changes_exactly_nothing_in_windows_of_hundreds_of_keys(
    chunk: int, before: int, dtype: torch.dtype
) -> None:
    """The published enwik8 model hashes into chunks of 256."""
    length = 1024
    model = small_reformer(
        "lsh",
        lsh_attn_chunk_length=chunk,
        lsh_num_chunks_before=before,
        max_position_embeddings=length,
        axial_pos_shape=[16, 64],
        lsh_num_buckets=4,
    ).to(dtype)
    ids = random_ids(1, length)
    with torch.no_grad():
        logits = model(ids).logits
        for cut in (340, 700, 1000):
            changed = torch.cat([ids[:, :cut], random_ids(1, length - cut, seed=cut)], dim=1)
            assert torch.equal(model(changed).logits[:, :cut], logits[:, :cut])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk", [64, 256])
def test_sums_are_the_same_however_many_later_tokens_hash_before_them(
    chunk: int, dtype: torch.dtype
) -> None:
    """Values that cancel out leave nothing but rounding, which tells in what order they came."""
    size, length = 64, 4 * chunk
    rule = HashRule(torch.empty(0), (8,), "strict", None)
    geometry = strict_geometry(Geometry(1, length, 1, size, chunk, before=1), rule)
    half = torch.randn(chunk // 8 * 3, size, generator=torch.Generator().manual_seed(0))
    seen = torch.cat([half, -half.flip(0)])  # by the token after them
    past = len(seen) + 1
    values = torch.cat([seen, torch.ones(length - len(seen), size)])
    projected = torch.cat([torch.ones(length, size), values], dim=1).to(dtype)

    def outputs(earlier: int) -> torch.Tensor:
        buckets = torch.full((1, 1, 1, length), 2)
        buckets[..., :past] = 1
        buckets[..., past : past + earlier] = 0
        found: torch.Tensor = HashedAttention.apply(
            projected, buckets, rule, geometry, Dropout(0.0, 0)
        )
        return found[:past]

    for earlier in (1, 2, 7, 16, chunk - 1, 2 * chunk):
        assert torch.equal(outputs(earlier), outputs(0))


def test_published_attention_peeks() -> None:
    model = small_reformer("lsh", lsh_causality="published")
    ids = random_ids(1, 192)
    changed = torch.cat([ids[:, :150], random_ids(1, 42, seed=1)], dim=1)
    with torch.no_grad():
        difference = (model(changed).logits - model(ids).logits).abs()
    assert difference[:, :150].max() > 1e-3


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("kind", ["local", "lsh", "mixed"])
def test_a_prefix_alone_gets_the_logits_that_it_has_in_a_longer_text(
    kind: str, rounds: int
) -> None:
    model = small_reformer(kind, num_hashes=rounds, lsh_num_buckets=8)
    ids = random_ids(2, 256)
    with torch.no_grad():
        whole = model(ids).logits
        for length in (1, 5, 16, 40, 64, 129):
            prefix = model(ids[:, :length]).logits
            torch.testing.assert_close(prefix, whole[:, :length], atol=1e-5, rtol=1e-5)


def test_what_padding_on_the_left_holds_changes_nothing() -> None:
    model = small_reformer()
    ids = random_ids(1, 60)
    padded = torch.cat([torch.zeros(1, 20, dtype=torch.long), ids], dim=1)
    mask = torch.cat([torch.zeros(1, 20), torch.ones(1, 60)], dim=1)
    other = torch.cat([torch.ones(1, 20, dtype=torch.long), ids], dim=1)
    with torch.no_grad():
        logits = model(padded, attention_mask=mask).logits[:, 20:]
        assert torch.equal(logits, model(other, attention_mask=mask).logits[:, 20:])


def test_every_query_sees_its_own_bucket_only_and_at_most_one_chunk_of_it() -> None:
    """With all in one bucket, strict lsh attention is attention to the last chunk's worth."""
    model = small_reformer("lsh", lsh_num_buckets=2, attn_layers=["lsh"])
    attention = model.reformer.encoder.layers[0].attention
    with torch.no_grad():
        # equal query/key vectors: one bucket, and equal attention to everything seen
        attention.layer_norm.weight[0], attention.layer_norm.bias[0] = 0, 1
        attention.self_attention.query_key.weight.zero_()
        attention.self_attention.query_key.weight[:, 0] = 1
        ids = random_ids(1, 64)
        logits = model(ids).logits
        for back, same in ((16, False), (17, True)):
            changed = ids.clone()
            changed[0, 40 - back] = changed[0, 40 - back] % 39 + 1
            assert torch.equal(model(changed).logits[0, 40], logits[0, 40]) is same


@pytest.mark.parametrize(
    ("length", "factors"),
    [(16, (2,)), (64, (2,)), (256, (8,)), (2048, (64,)), (16384, (16, 32)), (65536, (32, 64))],
)
def test_buckets_follow_the_length(length: int, factors: tuple[int, ...]) -> None:
    assert recommended_buckets(length, 64) == factors
