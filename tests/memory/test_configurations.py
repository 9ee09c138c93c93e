"""Configurations changed for the memory study."""

import pytest

from reformer_seqlen.memory.configurations import first_layers, with_depth, with_positions
from reformer_seqlen.models.configurations import configuration, position_limit, positions_of
from reformer_seqlen.runtime.errors import StudyError
from tests.memory_example import REFORMER_CP, TINY_GPT2, TINY_REFORMER


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
