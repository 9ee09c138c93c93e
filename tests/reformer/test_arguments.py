"""What a Reformer is asked for is done or refused, never ignored."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from reformer_seqlen.reformer.model import (
    Implementation,
    Reformer,
    StockReformer,
    create_reformer,
    hash_buckets,
)
from reformer_seqlen.runtime.errors import StudyError
from tests.reformer_example import NO_DROPOUT, random_ids, small_config, small_reformer


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"is_decoder": False}, "is_decoder is false"),
        ({"lsh_num_chunks_after": 1}, "lsh_num_chunks_after is 1"),
        ({"local_num_chunks_after": 2}, "local_num_chunks_after is 2"),
        ({"hidden_dropout_prob": 1.0}, r"hidden_dropout_prob is 1\.0"),
        ({"lsh_attention_probs_dropout_prob": -0.1}, r"lsh_attention_probs_dropout_prob is -0\.1"),
    ],
)
def test_configurations_that_make_no_language_model(settings: Any, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        small_reformer(**settings)


@pytest.mark.parametrize("implementation", ["reformer-seqlen", "transformers"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hashes": 0}, "num_hashes is 0.*at least 1"),
        ({"num_hashes": -1}, "num_hashes is -1.*at least 1"),
        ({"num_buckets": 7}, "num_buckets is 7: every factor"),
        ({"num_buckets": 0}, "num_buckets is 0: every factor"),
        ({"num_buckets": [4, 3]}, r"num_buckets is \[4, 3\]: every factor"),
        ({"num_buckets": []}, r"num_buckets is \[\]: every factor"),
        ({"lsh_num_buckets": 2.5}, r"num_buckets is 2\.5: every factor"),
        ({"lsh_num_buckets": "many"}, "num_buckets is 'many': every factor"),
        ({"lsh_attn_chunk_length": None}, "lsh_attn_chunk_length is None.*at least 1"),
        ({"local_attn_chunk_length": 0}, "local_attn_chunk_length is 0.*at least 1"),
        ({"lsh_num_chunks_before": None}, "lsh_num_chunks_before is None.*at least 0"),
        ({"local_num_chunks_before": -1}, "local_num_chunks_before is -1.*at least 0"),
        ({"lsh_attention_probs_dropout_prob": None}, "lsh_attention_probs_dropout_prob is None"),
        ({"attn_layers": []}, r"attn_layers is \[\]"),
        ({"attn_layers": ["local", "full"]}, r"attn_layers is \['local', 'full'\].*local, lsh"),
    ],
)
def test_settings_that_no_reformer_can_have(
    settings: Any, message: str, implementation: Implementation
) -> None:
    with pytest.raises(StudyError, match=message):
        create_reformer(small_config(**settings), implementation)


@pytest.mark.parametrize("kind", [Reformer, StockReformer])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": torch.ones(0, 64, dtype=torch.long)}, r"input_ids has the shape \(0, 64\)"),
        ({"input_ids": torch.ones(1, 0, dtype=torch.long)}, r"input_ids has the shape \(1, 0\)"),
        ({"input_ids": torch.ones(64, dtype=torch.long)}, r"input_ids has the shape \(64,\)"),
        ({"inputs_embeds": torch.ones(1, 0, 32)}, r"inputs_embeds has the shape \(1, 0, 32\)"),
        ({}, "either input_ids or inputs_embeds"),
    ],
)
def test_inputs_without_a_token(kind: type[Any], inputs: dict[str, Tensor], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        kind(small_config()).eval()(**inputs)


def test_an_empty_prompt() -> None:
    with pytest.raises(StudyError, match=r"input_ids has the shape \(1, 0\)"):
        small_reformer().generate(torch.ones(1, 0, dtype=torch.long), max_new_tokens=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_hashes": 4}, "no argument num_hashes"),
        ({"atention_mask": torch.ones(1, 64)}, "no argument atention_mask"),
        ({"position_ids": torch.arange(64).unsqueeze(0) + 1000}, "position 1064"),
        ({"position_ids": torch.arange(64).unsqueeze(0) - 1}, "position_ids holds -1"),
        ({"position_ids": torch.arange(64)}, r"position_ids has the shape \(64,\).*\(1, 64\)"),
        ({"attention_mask": torch.ones(1, 65)}, r"attention_mask has the shape \(1, 65\)"),
        ({"attention_mask": torch.ones(1, 1, 64, 64)}, r"attention_mask has the shape \(1, 1, 64"),
        ({"output_attentions": True}, "output_attentions is true"),
    ],
)
def test_arguments_that_can_not_be_obeyed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        small_reformer()(random_ids(1, 64), **arguments)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", ["local", "lsh", "mixed"])
def test_one_mask_and_one_row_of_positions_serve_many_texts(
    kind: str, training: bool, set_threads: Callable[[int], None]
) -> None:
    set_threads(2)
    model, ids = small_reformer(kind, **NO_DROPOUT).train(training), random_ids(5, 64)
    mask, positions = torch.ones(1, 64), torch.arange(64).unsqueeze(0) + 3
    mask[:, -10:] = 0
    for given in (
        {"attention_mask": mask},
        {"position_ids": positions},
        {"attention_mask": mask, "position_ids": positions},
    ):
        each = {name: values.expand(5, -1) for name, values in given.items()}
        assert torch.equal(model(ids, **given).logits, model(ids, **each).logits)


def test_what_the_configuration_asks_for_is_heeded() -> None:
    ids = random_ids(1, 64)
    assert len(small_reformer(output_hidden_states=True)(ids).hidden_states) == 3
    assert isinstance(small_reformer(return_dict=False)(ids), tuple)
    with pytest.raises(StudyError, match="output_attentions is true"):
        small_reformer(output_attentions=True)(ids)


def test_a_cache_has_its_own_positions_and_padding() -> None:
    model, ids = small_reformer(), random_ids(1, 40)
    with torch.no_grad():
        cache = model(ids, use_cache=True).past_buckets_states
    for arguments in ({"position_ids": torch.tensor([[7]])}, {"attention_mask": torch.ones(1, 41)}):
        with pytest.raises(StudyError, match="a cache keeps the positions and the padding"):
            model(ids[:, :1], past_buckets_states=cache, **arguments)


def test_weights_in_float16() -> None:
    with pytest.raises(StudyError, match="float16 can't hold"):
        small_reformer().half()(random_ids(1, 64))


@pytest.mark.parametrize("kind", ["local", "lsh"])
def test_a_window_never_holds_a_chunk_twice(kind: str) -> None:
    """Stock's windows wrap around, and in short texts they meet themselves."""
    changes = {"local_num_chunks_before": 2, "lsh_num_chunks_before": 2}
    model = small_reformer(kind, lsh_causality="published", **changes)
    with pytest.raises(StudyError, match=f"has 2 chunks, and {kind}_num_chunks_before is 2"):
        model(random_ids(1, 32))
    assert model(random_ids(1, 48)).logits.shape == (1, 48, 40)
    assert small_reformer(kind, **changes)(random_ids(1, 32)).logits.shape == (1, 32, 40)


@pytest.mark.parametrize("axial", [False, True])
def test_positions_that_are_given_are_dropped_like_those_that_are_not(axial: bool) -> None:
    model = small_reformer(
        axial_pos_embds=axial,
        axial_pos_shape=[8, 32],
        max_position_embeddings=256,
        **{**NO_DROPOUT, "hidden_dropout_prob": 0.5},
    ).train()
    ids = random_ids(2, 64)
    model.set_hash_draw(0)
    logits = model(ids).logits
    model.set_hash_draw(0)
    assert torch.equal(model(ids, position_ids=torch.arange(64).expand(2, -1)).logits, logits)


def test_another_vocabulary_keeps_the_biases_that_stay() -> None:
    model = small_reformer()
    model.lm_head.bias.data.normal_()
    bias = model.lm_head.bias.clone()
    model.resize_token_embeddings(50)
    assert torch.equal(model.lm_head.bias[:40], bias)
    assert model(random_ids(1, 64)).logits.shape == (1, 64, 50)
    model.resize_token_embeddings(30)
    assert torch.equal(model.lm_head.bias, bias[:30])


def only_embeddings(model: Reformer) -> Reformer:
    for part in (model.reformer.encoder, model.lm_head):
        part.requires_grad_(False)
    model.train()
    return model


def test_embeddings_alone_can_be_trained(set_threads: Callable[[int], None]) -> None:
    """With threads for the parts of a batch, and without."""
    gradients = []
    for threads in (1, 2):
        set_threads(threads)
        model = only_embeddings(small_reformer(**NO_DROPOUT))
        ids = random_ids(34, 64)
        model(ids, labels=ids).loss.backward()
        gradients.append(model.reformer.embeddings.word_embeddings.weight.grad)
    torch.testing.assert_close(*gradients)


def test_a_second_backward_pass_says_what_it_lacks(set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    ids = random_ids(34, 64)
    loss = small_reformer().train()(ids, labels=ids).loss
    loss.backward(retain_graph=True)
    with pytest.raises(StudyError, match="call backward once"):
        loss.backward()


def test_how_many_buckets_is_known_where_they_are_chosen_once() -> None:
    assert hash_buckets(small_reformer(lsh_num_buckets=[4, 8])) == 32
    assert hash_buckets(small_reformer(lsh_causality="published")) == 8
    assert hash_buckets(small_reformer()) is None  # each text's length chooses
    assert hash_buckets(small_reformer("local", lsh_num_buckets=8)) is None


def test_evaluation_with_gradients_fills_a_cache_once() -> None:
    model = small_reformer(reversible="on")
    output = model(random_ids(1, 64), use_cache=True)
    output.logits.sum().backward()
    assert len(output.past_buckets_states.layers) == 2
