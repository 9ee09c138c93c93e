"""Training memory over depth and length."""

import pytest

from reformer_seqlen.memory.training import training_tasks
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


def test_there_may_be_no_curve() -> None:
    training = memory_values()["training"] | {"curves": {}}
    assert training_tasks(memory_study(training=training)) == {}
