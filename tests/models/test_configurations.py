"""Models from configurations: what is refused, and with what words."""

from typing import Any

import pytest
import torch

from reformer_seqlen.memory.configurations import with_positions
from reformer_seqlen.models.configurations import (
    build,
    check_length,
    configuration,
    dtype_of,
    position_limit,
)
from reformer_seqlen.runtime.errors import StudyError
from tests.memory_example import FUSED, TINY_GPT2, TINY_LLAMA, TINY_REFORMER, TINY_SEEING


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"model_type": "gtp2"},
            "here: model_type must be a causal language model of transformers",
        ),
        ({"model_type": "gtp2"}, "did you mean gpt2"),
        ({"model_type": "t5"}, "but it is `t5`"),
        (
            {"n_embd": 64},
            "here: model_type must be a causal language model of transformers, but th",
        ),
        ({"model_type": "vit"}, "but it is `vit`"),
        ({"model_type": "gpt2", "n_layers": 3}, "it has no `n_layers`; did you mean n_layer"),
        ({"model_type": "gpt2", "n_layer": "three"}, "'n_layer' expected int"),
        (TINY_GPT2 | {"dtype": 5}, "its dtype is 5; models are made in float32, bfloat16, float16"),
        (TINY_GPT2 | {"torch_dtype": "float8_e4m3fn"}, "its dtype is float8_e4m3fn; models are"),
        (TINY_GPT2 | {"quantization_config": {"load_in_4bit": True}}, "is not honoured: leave it"),
        (TINY_GPT2 | {"rope_scaling": None}, "it has no `rope_scaling`"),
        (
            TINY_LLAMA | {"rope_scaling": {"rope_type": "linear", "factor": "4"}},
            "the factor of its rotary positions is no number, but '4'",
        ),
        (
            TINY_SEEING | {"text_config": {"hidden_sise": 64}},
            "it has no `hidden_sise`; did you mean hidden_size",
        ),
    ],
)
def test_a_wrong_configuration_is_one_clear_message(values: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError) as caught:
        configuration(values, "here")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_published_config_file_may_hold_more() -> None:
    values = TINY_GPT2 | {"task_specific_params": {"a": 1}, "architectures": ["GPT2LMHeadModel"]}
    assert configuration(values, "config.json", strict=False).n_layer == 2


def test_what_a_model_reads_undeclared_is_no_unknown_name() -> None:
    assert configuration({"model_type": "qwen3_moe", "head_dim": 16}, "here").head_dim == 16


def test_the_longest_sequence_follows_from_the_positions() -> None:
    tiny = TINY_REFORMER | {"axial_pos_shape": [8, 256]}
    axial = configuration(tiny, "here")
    assert position_limit(axial) == 8 * 256
    assert position_limit(with_positions(axial, "learned", "here")) == 4096
    gpt2 = configuration(TINY_GPT2, "here")
    check_length(gpt2, 1024)
    with pytest.raises(StudyError, match="gpt2 has 1024 positions, 1025 tokens are too many"):
        check_length(gpt2, 1025)
    for without in ("bloom", "xlnet"):
        assert position_limit(configuration({"model_type": without}, "here")) is None


@pytest.mark.parametrize(
    ("rotary", "tokens"),
    [
        ({"type": "linear", "factor": 4.0}, 2048),
        ({"rope_type": "dynamic", "factor": 2}, 1024),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}, 2048),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, 512),
        (None, 512),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_scaled_rotary_positions_reach_as_far_as_their_factor_says(
    rotary: dict[str, Any] | None, tokens: int, strict: bool
) -> None:
    values = TINY_LLAMA | {"max_position_embeddings": 512, "rope_scaling": rotary}
    assert position_limit(configuration(values, "here", strict)) == tokens
    windows = FUSED["windows and grouped queries"] | {"max_position_embeddings": 512}
    assert position_limit(configuration(windows | {"rope_scaling": rotary}, "here")) == tokens


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_model_is_made_in_the_dtype_that_its_configuration_says(name: str, dtype: str) -> None:
    said = getattr(torch, dtype)
    nested = TINY_SEEING | {"text_config": TINY_SEEING["text_config"] | {name: dtype}}
    for values in (TINY_LLAMA | {name: dtype}, TINY_SEEING | {name: dtype}, nested):
        config = configuration(values, "here")
        assert dtype_of(config) == said
        for asked in (None, torch.float32, torch.float16):
            with torch.device("meta"):
                model = build(config, asked)
            assert {weight.dtype for weight in model.parameters()} == {asked or said}
    assert dtype_of(configuration(TINY_LLAMA, "here")) is None
