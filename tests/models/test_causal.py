"""Models of every kind: made, loaded, seeded, counted, and causal."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reformer_seqlen.bases.card import card
from reformer_seqlen.models.causal import (
    check_ids,
    create,
    draws_hashes,
    load,
    parameter_counts,
    set_draw,
)
from reformer_seqlen.models.configurations import configuration, position_limit
from reformer_seqlen.parameters.model_options import AttentionOptions
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.scoring.loss import autocast, nats
from tests.memory_example import TINY_SEEING
from tests.models_example import ALL, KINDS, VOCABULARY, configured, made


def refusal(kind: str, **changes: Any) -> str:
    with pytest.raises(StudyError) as refused:
        configured(kind, **changes)
    return str(refused.value)


@pytest.mark.parametrize("kind", sorted(ALL))
def test_what_comes_later_changes_nothing_before_it(kind: str) -> None:
    model = made(kind).eval()
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(VOCABULARY, (2, 128), generator=generator)
    other = ids.clone()
    other[:, 71:] = torch.randint(VOCABULARY, (2, 57), generator=generator)
    with torch.no_grad():
        logits = []
        for given in (ids, other):
            set_draw(model, 5)
            logits.append(model(given, use_cache=False).logits)
    assert torch.equal(logits[0][:, :71], logits[1][:, :71])
    assert not torch.equal(logits[0][:, 71:], logits[1][:, 71:])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_saved_model_is_loaded_as_it_was(kind: str, tmp_path: Path) -> None:
    model = made(kind).eval()
    model.save_pretrained(tmp_path)
    again = load(tmp_path, sequence_length=128, options={}, key="runs.a").eval()
    ids = torch.arange(128)[None] % VOCABULARY
    for each in (model, again):
        set_draw(each, 3)
    with torch.no_grad():
        assert torch.equal(again(ids, use_cache=False).logits, model(ids, use_cache=False).logits)


def test_what_is_drawn_is_a_function_of_seed_and_step() -> None:
    model = made("gpt2").train()
    ids = torch.arange(64)[None] % VOCABULARY
    draws = [(1, 1), (1, 2), (1, 1)]
    logits = []
    for seed, step in draws:
        set_draw(model, seed, step)
        logits.append(model(ids, use_cache=False).logits.detach())
    assert torch.equal(logits[0], logits[2])
    assert not torch.equal(logits[0], logits[1])
    assert not draws_hashes(model)
    assert draws_hashes(made("reformer"))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_matrix_products_may_be_in_bfloat16(kind: str) -> None:
    model = made(kind).train()
    ids = torch.arange(64)[None] % VOCABULARY
    losses = []
    for precision in ("float32", "bfloat16"):
        set_draw(model, 1)
        with autocast(torch.device("cpu"), precision):
            loss = nats(model(ids, use_cache=False).logits, ids)
        loss.backward()
        losses.append(loss.item())
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize(
    ("kind", "positions", "embeddings"),
    [
        ("reformer", 8 * 8 + 32 * 24, VOCABULARY * 32 + VOCABULARY * 64),
        ("gpt2", 256 * 32, VOCABULARY * 32),
        ("opt", (256 + 2) * 32, VOCABULARY * 32),
        ("llama", 0, 2 * VOCABULARY * 32),
        ("mamba2", 0, 2 * VOCABULARY * 32),
    ],
)
def test_parameters_are_counted_by_kind(kind: str, positions: int, embeddings: int) -> None:
    model = made(kind)
    counts = parameter_counts(model)
    assert counts["position_table"] == positions
    assert counts["embeddings"] == embeddings
    assert counts["total"] == sum(each.numel() for each in model.parameters())
    assert counts["without_positions"] == counts["total"] - positions


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager", "flex"])
def test_attention_is_computed_by_the_implementation_that_is_asked_for(attention: str) -> None:
    ids, logits = torch.arange(128)[None] % VOCABULARY, []
    for model in (made("llama"), made("llama", attention=attention)):
        with torch.no_grad():
            logits.append(model.eval()(ids, use_cache=False).logits)
    assert model.config._attn_implementation.startswith(attention)
    torch.testing.assert_close(logits[1], logits[0], atol=1e-5, rtol=0)


def test_attention_that_is_not_here_is_named() -> None:
    with pytest.raises(StudyError, match=r"llama does not build: .*FlashAttention"):
        made("llama", attention="flash")


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (
            "gtp2",
            {},
            "model_type must be a causal language model of transformers, but",
        ),
        ("gtp2", {}, "did you mean gpt2"),
        ("bert", {"n_layer": 2}, "models.mine.pretraining.architecture"),
        ("gpt2", {"n_layers": 2}, "it has no `n_layers`; did you mean n_layer"),
        ("gpt2", {"n_positions": 32}, "sequence_length: gpt2 has 32 positions, 128 tokens are"),
        ("gpt2", {"n_head": 5}, "models.mine.pretraining.architecture: "),
        ("gpt2", {"vocab_size": 9}, "say `vocab_size` in `pretraining.pieces` of the model"),
        ("llama", {"attn_implementation": "sdpa"}, "say `attn_implementation` in `options.attent"),
        ("reformer", {"n_layer": 2}, "a Reformer's configuration has no n_layer"),
    ],
)
def test_what_makes_no_model_is_one_clear_message(
    kind: str, changes: dict[str, Any], words: str
) -> None:
    said = refusal(kind, **changes)
    assert words in said
    assert "\n" not in said


def test_rotary_positions_that_are_scaled_reach_further() -> None:
    scaled = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
    config = configured("llama", max_position_embeddings=32, rope_parameters=scaled)
    assert position_limit(config) == 128
    assert "llama has 32 positions" in refusal("llama", max_position_embeddings=32)


def test_a_reformer_of_longer_chunks_is_loaded_for_any_length_that_it_reads(tmp_path: Path) -> None:
    """As the published enwik8 model, whose lsh chunks have 256 tokens."""
    made("reformer", lsh_attn_chunk_length=128).save_pretrained(tmp_path)
    load(tmp_path, sequence_length=None, options={}, key="models.a")
    with pytest.raises(StudyError, match=r"runs\.a\.sequence_length: 64 is no multiple of 128"):
        load(tmp_path, sequence_length=64, options={}, key="runs.a")


def test_what_cannot_be_loaded_is_one_clear_message(tmp_path: Path) -> None:
    def said(length: int = 64, **options: Any) -> str:
        with pytest.raises(StudyError) as refused:
            load(tmp_path, sequence_length=length, options=options, key="runs.a")
        return str(refused.value)

    assert "config.json can't be read or has no model_type" in said()
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 3}))
    assert "config.json can't be read or has no model_type" in said()
    packed = {"model_type": "gpt2", "quantization_config": {"quant_method": "gptq", "bits": 4}}
    (tmp_path / "config.json").write_text(json.dumps(packed))
    assert f"the weights of {tmp_path} are quantized (`quantization_config`" in said()
    made("gpt2").save_pretrained(tmp_path)
    assert "runs.a.sequence_length: gpt2 has 256 positions, 257 tokens are too" in said(257)
    assert "runs.a.options: model_type gpt2 has no option `positions`; it has attention" in said(
        positions="axial"
    )
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    assert f"{tmp_path} holds no gpt2 that loads: " in said()
    (tmp_path / "model.safetensors").unlink()
    assert f"{tmp_path} holds no gpt2 that loads: " in said()
    made("reformer").save_pretrained(tmp_path)
    assert "runs.a.sequence_length: 100 is no multiple of 64" in said(100)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_piece_that_a_model_has_no_embedding_of_is_named(kind: str) -> None:
    model = made(kind)
    known, unknown = (np.array([0, 3, VOCABULARY - 1 + more], np.uint16) for more in (0, 1))
    check_ids(model, [known, np.array([], np.uint16)], "mine")
    said = r"models\.mine: the text has a piece of id 40, and the model knows 40 \(0 to 39\)"
    with pytest.raises(StudyError, match=said):
        check_ids(model, [known, unknown], "mine")


def test_the_card_of_a_model_that_sees_is_of_its_language_model() -> None:
    config = configuration(TINY_SEEING, "here")
    with torch.device("meta"):
        model = create(config, AttentionOptions())
    told = card("mine", model, {"checkpoint": {"what": "a/b"}})
    assert (told["model_type"], told["layers"], told["checkpoint"]) == (
        "gemma3",
        4,
        {"what": "a/b"},
    )
    text = config.text_config
    assert (told["hidden_size"], told["vocabulary"]) == (text.hidden_size, text.vocab_size)
