"""A few of the kills and faults of `make test-faults`: those of a training that is stopped."""

import random

import pytest

from tests.conftest import Project
from tests.faults.injected import bear
from tests.faults.kills import AIMED, aimed
from tests.faults.study import Study

SHORT = [
    "a kill while a checkpoint is written",
    "a flipped checkpoint",
    "a flipped token file",
    "a disk that fills under a checkpoint",
    "a limit of memory",
    "a signal to end",
]


@pytest.mark.slow
def test_a_training_bears_what_stops_it(own_smoke: Project) -> None:
    study = Study(own_smoke.root)
    with study.warm():
        assert bear(study, SHORT) == []


def test_aimed_kills_come_in_the_order_of_the_study() -> None:
    stages = list(AIMED)
    chosen = [stages.index(stage) for stage, _ in aimed(random.Random(1), 20)]
    assert len(chosen) == 20
    assert chosen == sorted(chosen)
