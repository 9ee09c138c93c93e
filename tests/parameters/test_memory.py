"""The section `memory`: what is refused, and with what words."""

from typing import Any

import pytest

from reformer_seqlen.parameters.memory import GPUS, MemoryStudy
from tests.memory_example import memory_study, memory_values


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpu": "T5"}, "gpu: `T5` is not among memory.gpus: colab, small"),
        ({"fits": ["other"]}, "fits: `other` is not among memory.rows"),
        ({"gpus": {"colab": {"memory_mib": 5, "context_mib": 9}}}, "context_mib must be less"),
        ({"limits": {"seconds": 0, "mib": 1}}, "greater than 0"),
    ],
)
def test_a_wrong_section_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        memory_study(**changes)


def test_a_row_of_an_unknown_model_is_refused() -> None:
    rows = {"a": {"model": "other", "batch_size": 1, "sequence_length": 64}}
    with pytest.raises(ValueError, match=r"rows\.a\.model: `other` is not among memory\.models"):
        memory_study(rows=rows, fits=[])


def test_rows_searches_and_curves_may_be_left_empty() -> None:
    training = memory_values()["training"] | {"curves": {}}
    study = memory_study(rows={}, fits=[], training=training)
    assert (study.rows, study.fits, study.training.curves) == ({}, [], {})


def test_gpus_are_the_known_ones_unless_others_are_given() -> None:
    values = {name: value for name, value in memory_values().items() if name != "gpus"}
    assert MemoryStudy.model_validate(values | {"gpu": "T4"}).gpus == GPUS
