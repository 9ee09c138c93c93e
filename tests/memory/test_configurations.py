"""Configurations changed for the memory study."""

from typing import Any

import pytest
import torch

from reformer_seqlen.memory.configurations import first_layers, with_depth, with_positions
from reformer_seqlen.models.configurations import (
    build,
    configuration,
    language_part,
    position_limit,
    positions_of,
)
from reformer_seqlen.runtime.errors import StudyError
from tests.memory_example import (
    FUSED,
    REFORMER_CP,
    TINY_GPT2,
    TINY_LLAMA,
    TINY_REFORMER,
    TINY_SEEING,
)


def test_positions_are_a_reformers_choice() -> None:
    axial = configuration(REFORMER_CP, "here")
    learned = with_positions(axial, "learned", "here")
    assert (positions_of(axial), positions_of(learned)) == ("axial", "learned")
    assert positions_of(with_positions(learned, "axial", "here")) == "axial"
    gpt2 = configuration(TINY_GPT2, "here")
    assert with_positions(gpt2, "own", "here") is gpt2
    assert positions_of(gpt2) == "own"
    with pytest.raises(StudyError, match="here: axial positions are for Reformers"):
        with_positions(gpt2, "axial", "here")


def test_another_depth_repeats_the_pattern_of_layers() -> None:
    deep = with_depth(configuration(TINY_REFORMER, "here"), 5, 512)
    assert deep.attn_layers == ["local", "lsh", "local", "lsh", "local"]
    assert (deep.num_hidden_layers, position_limit(deep)) == (5, 512)
    gpt2 = with_depth(configuration(TINY_GPT2, "here"), 5, 512)
    assert (gpt2.n_layer, gpt2.n_positions) == (5, 512)


def test_the_first_layers_are_those_of_the_whole_model() -> None:
    values = TINY_REFORMER | {"attn_layers": ["local", "local", "lsh", "local"]}
    reformer = first_layers(configuration(values, "here"), 3)
    assert (reformer.attn_layers, reformer.num_hidden_layers) == (["local", "local", "lsh"], 3)
    assert positions_of(reformer) == "axial"
    assert first_layers(configuration(TINY_GPT2, "here"), 3).n_layer == TINY_GPT2["n_layer"] == 2


@pytest.mark.parametrize(
    "values",
    [
        TINY_SEEING,
        FUSED["windows and grouped queries"],
        TINY_LLAMA,
        {"model_type": "gpt_neo", "hidden_size": 64, "num_layers": 4, "num_heads": 4,
         "vocab_size": 320, "attention_types": [[["global", "local"], 2]]},
        {"model_type": "bart", "d_model": 64, "decoder_layers": 4, "decoder_attention_heads": 4,
         "decoder_ffn_dim": 128, "vocab_size": 320},
    ],
    ids=lambda values: values["model_type"],
)  # fmt: skip
def test_every_layer_counts_whatever_says_how_many_there_are(values: dict[str, Any]) -> None:
    config = configuration(values, "here")
    numbers = []
    for layers in (2, 4, 6):
        with torch.device("meta"):
            model = build(with_depth(config, layers, 512))
        numbers.append(sum(parameter.numel() for parameter in model.parameters()))
    assert numbers[2] - numbers[1] == numbers[1] - numbers[0] > 0


def test_a_list_of_layers_repeats_its_pattern_or_is_what_its_class_derives() -> None:
    windows = FUSED["windows and grouped queries"]
    given = with_depth(configuration(windows, "here"), 5, 512)
    kinds = ["sliding_attention", "full_attention"]
    assert given.layer_types == [*kinds, *kinds, kinds[0]]
    plain = {name: value for name, value in windows.items() if name != "layer_types"}
    derived = with_depth(configuration(plain, "here"), 7, 512)
    assert derived.layer_types == [*[kinds[0]] * 5, kinds[1], kinds[0]]
    assert first_layers(given, 3).layer_types == [*kinds, kinds[0]]


def test_the_positions_of_a_model_that_sees_are_those_of_its_language_model() -> None:
    config = configuration(TINY_SEEING, "here")
    assert position_limit(config) == 512
    deep = with_depth(config, 3, 256)
    assert (language_part(deep).num_hidden_layers, position_limit(deep)) == (3, 256)
    assert deep.vision_config.num_hidden_layers == config.vision_config.num_hidden_layers


def test_a_depth_that_no_model_has_is_named() -> None:
    prophetnet = configuration({"model_type": "prophetnet"}, "here")
    with pytest.raises(StudyError, match=r"memory\.models\.mine: no prophetnet of 2 layers can be"):
        with_depth(prophetnet, 2, 256, "memory.models.mine")


def test_a_model_without_a_limit_of_positions_stays_so() -> None:
    deep = with_depth(configuration({"model_type": "xlnet", "n_layer": 4}, "here"), 2, 256)
    assert (deep.n_layer, position_limit(deep)) == (2, None)
