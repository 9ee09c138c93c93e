"""Training memory over depth and length."""

import pytest

from reformer_seqlen.memory.training import training_tasks
from reformer_seqlen.runtime.errors import StudyError
from tests.memory_example import memory_study, memory_values

STUDY = memory_study()


@pytest.mark.slow
def test_there_is_a_point_for_every_curve_depth_and_length() -> None:
    points = [task() for task in training_tasks(STUDY).values()]
    assert [(p["curve"], p["layers"], p["sequence_length"]) for p in points] == [
        (curve, layers, length)
        for curve in ("reversible", "gpt2")
        for layers in (2, 4)
        for length in (128, 256)
    ]
    assert all(point["predicted_allocated_mib"] > point["weights_mib"] for point in points)


def test_a_model_whose_depth_is_said_otherwise_is_named_at_every_point() -> None:
    stacks = {
        "model_type": "hrm_text",
        "hidden_size": 64,
        "num_attention_heads": 4,
        "vocab_size": 320,
    }
    values = memory_values()
    models = values["models"] | {"stacks": stacks}
    training = values["training"] | {"curves": {"stacks": {"model": "stacks"}}}
    for task in training_tasks(memory_study(models=models, training=training)).values():
        with pytest.raises(StudyError, match=r"memory\.models\.stacks: a hrm_text of \d layers is"):
            task()


def test_there_may_be_no_curve() -> None:
    training = memory_values()["training"] | {"curves": {}}
    assert training_tasks(memory_study(training=training)) == {}
