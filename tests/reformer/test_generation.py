"""Texts are continued token by token as they would be scored at once."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from reformer_seqlen.runtime.errors import StudyError
from tests.reformer_example import NO_DROPOUT, padding_mask, random_ids, small_reformer


@pytest.mark.slow
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


def left_padded(texts: list[torch.Tensor], extra: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts (1, L) as one batch behind padding, and its mask."""
    length = max(text.shape[1] for text in texts) + extra
    rows = [F.pad(text, (length - text.shape[1], 0)) for text in texts]
    masks = [F.pad(torch.ones_like(text), (length - text.shape[1], 0)) for text in texts]
    return torch.cat(rows), torch.cat(masks)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("use_cache", "beams"), [(True, 1), (True, 2), (False, 1)], ids=["cache", "beams", "no cache"]
)
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("local", {}),
        ("local", {"local_num_chunks_before": 2, "local_attn_chunk_length": 8}),
        ("lsh", {}),  # each text with the number of buckets that its own length recommends
        ("mixed", {"num_hashes": 2, "lsh_num_buckets": 8}),
        ("mixed", {"axial_pos_embds": True, "axial_pos_shape": (16, 64)}),
    ],
)
def test_texts_behind_padding_continue_as_each_alone(
    kind: str, changes: dict[str, Any], use_cache: bool, beams: int
) -> None:
    model = small_reformer(kind, **changes)
    texts = [random_ids(1, length, seed=length) for length in (7, 70, 33)]
    options = {"max_new_tokens": 20, "do_sample": False, "eos_token_id": None}
    options = {**options, "use_cache": use_cache, "num_beams": beams}
    batch, mask = left_padded(texts)
    together = model.generate(batch, attention_mask=mask, **options)[:, batch.shape[1] :]
    for text, continuation in zip(texts, together, strict=True):
        alone = model.generate(text, **options)[0, text.shape[1] :]
        assert torch.equal(continuation, alone)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("padding", ["left", "right", "within"])
def test_positions_beside_a_mask_give_each_text_its_own_logits(
    padding: str, training: bool
) -> None:
    model = small_reformer(num_hashes=2, lsh_num_buckets=8, **NO_DROPOUT).train(training)
    text, mask = random_ids(1, 48), torch.ones(1, 64)
    begin = {"left": 0, "right": 48, "within": 20}[padding]
    mask[0, begin : begin + 16] = 0
    padded = torch.full((1, 64), 7)
    padded[mask == 1] = text[0]
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    logits = model(padded, attention_mask=mask, position_ids=positions).logits[mask == 1]
    torch.testing.assert_close(logits, model(text).logits[0], atol=1e-5, rtol=1e-5)


def test_given_positions_are_counted_on() -> None:
    model, ids = small_reformer("local"), random_ids(1, 20)
    positions = torch.arange(100, 120).unsqueeze(0)
    drawn = model.generate(
        ids, position_ids=positions, max_new_tokens=10, do_sample=False, eos_token_id=None
    )
    for end in range(20, 30):
        counted = torch.arange(100, 100 + end).unsqueeze(0)
        logits = model(drawn[:, :end], position_ids=counted).logits[0, -1]
        assert logits.argmax() == drawn[0, end]
    plain = model.generate(ids, max_new_tokens=10, do_sample=False, eos_token_id=None)
    assert not torch.equal(plain, drawn)


@pytest.mark.parametrize("use_cache", [True, False])
def test_hidden_states_come_with_every_token(use_cache: bool) -> None:
    model, ids = small_reformer(lsh_num_buckets=8), random_ids(2, 20)
    options = {"do_sample": False, "eos_token_id": None, "use_cache": use_cache}
    output = model.generate(
        ids,
        max_new_tokens=5,
        output_hidden_states=True,
        return_dict_in_generate=True,
        **options,
    )
    assert [len(states) for states in output.hidden_states] == [3] * 5  # before and after layers
    with torch.no_grad():
        expected = model(output.sequences[:, :-1], output_hidden_states=True).hidden_states
    for states, right in zip(output.hidden_states[-1], expected, strict=True):
        torch.testing.assert_close(states[:, -1], right[:, -1], atol=1e-5, rtol=1e-5)


def test_attentions_are_refused_in_generation_too() -> None:
    with pytest.raises(StudyError, match="output_attentions is true"):
        small_reformer().generate(random_ids(1, 20), output_attentions=True, max_new_tokens=3)


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


def test_nothing_is_cached_unless_asked_for_or_where_the_past_can_change() -> None:
    ids = random_ids(1, 32)
    assert small_reformer()(ids).past_buckets_states is None
    assert small_reformer()(ids, use_cache=True).past_buckets_states is not None
    assert small_reformer().train()(ids, use_cache=True).past_buckets_states is None
    published = small_reformer(lsh_causality="published")
    assert published(ids, use_cache=True).past_buckets_states is None
