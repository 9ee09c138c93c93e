"""Texts are continued token by token as they would be scored at once."""

from typing import Any

import pytest
import torch

from reformer_seqlen.runtime.errors import StudyError
from tests.reformer_example import padding_mask, random_ids, small_reformer


@pytest.mark.parametrize("padding", ["none", "left"])
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("local", {}),
        ("local", {"local_num_chunks_before": 2}),
        ("lsh", {}),
        ("lsh", {"num_hashes": 3}),
        ("lsh", {"lsh_num_buckets": [2, 4]}),
        ("lsh", {"lsh_num_chunks_before": 2, "lsh_num_buckets": 2}),
        ("mixed", {"num_hashes": 2}),
    ],
)
def test_cached_steps_equal_parallel_scoring(
    kind: str, changes: dict[str, Any], padding: str
) -> None:
    model = small_reformer(kind, **{"lsh_num_buckets": 8, **changes})
    ids, begin = random_ids(2, 100), 23
    mask = padding_mask(padding, 2, 100)
    with torch.no_grad():
        expected = model(ids, attention_mask=mask).logits
        prefix = None if mask is None else mask[:, :begin]
        cache = model(ids[:, :begin], attention_mask=prefix, use_cache=True).past_buckets_states
        for position in range(begin, 100):
            output = model(ids[:, position : position + 1], past_buckets_states=cache)
            found, right = output.logits[:, 0], expected[:, position]
            torch.testing.assert_close(found, right, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("causality", ["strict", "published"])
def test_greedy_continuation_takes_the_likeliest_piece_each_time(causality: str) -> None:
    model = small_reformer(lsh_causality=causality, lsh_num_buckets=8)
    ids = random_ids(1, 21)
    expected = ids
    with torch.no_grad():
        for _ in range(12):
            best = model(expected).logits[:, -1].argmax(-1, keepdim=True)
            expected = torch.cat([expected, best], dim=1)
        drawn = model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=None)
    assert torch.equal(drawn, expected)


def test_beam_search_follows_its_beams() -> None:
    model = small_reformer(lsh_num_buckets=8)
    options = {"max_new_tokens": 8, "do_sample": False, "num_beams": 3, "eos_token_id": None}
    ids = random_ids(2, 20)
    cached = model.generate(ids, **options)
    assert torch.equal(cached, model.generate(ids, **options, use_cache=False))


def test_generation_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    small_reformer().generate(random_ids(1, 20), max_new_tokens=3, do_sample=True)
    assert capsys.readouterr().out == ""


def test_generation_stops_at_the_last_position() -> None:
    model = small_reformer(max_position_embeddings=32)
    with pytest.raises(StudyError, match="position 33"):
        model.generate(random_ids(1, 30), max_new_tokens=10, do_sample=False, eos_token_id=None)


def test_several_tokens_with_a_cache_are_refused() -> None:
    model = small_reformer()
    cache = model(random_ids(1, 20), use_cache=True).past_buckets_states
    with pytest.raises(StudyError, match="2 tokens"):
        model(random_ids(1, 2), past_buckets_states=cache)


def test_nothing_is_cached_in_training_or_where_the_past_can_change() -> None:
    ids = random_ids(1, 32)
    assert small_reformer().train()(ids).past_buckets_states is None
    assert small_reformer(lsh_causality="published")(ids).past_buckets_states is None
    assert small_reformer()(ids, use_cache=False).past_buckets_states is None
