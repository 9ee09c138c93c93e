"""Models from configurations: what is refused, and with what words."""

from typing import Any

import pytest

from reformer_seqlen.memory.configurations import with_positions
from reformer_seqlen.models.configurations import (
    check_length,
    configuration,
    position_limit,
)
from reformer_seqlen.runtime.errors import StudyError
from tests.memory_example import TINY_GPT2, TINY_REFORMER


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
