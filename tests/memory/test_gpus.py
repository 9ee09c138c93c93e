"""What each GPU can do with a row's model."""

import pytest

from reformer_seqlen.memory.gpus import gpu_tasks, gpus_of
from reformer_seqlen.runtime.errors import StudyError
from tests.memory_example import memory_study


@pytest.mark.slow
def test_every_gpu_has_its_own_limits() -> None:
    result = gpus_of(memory_study(), "tiny")
    small, colab = result["gpus"]["small"], result["gpus"]["colab"]
    assert small["fits"]
    assert small["largest_batch"] < colab["largest_batch"]
    assert small["longest_sequence"] == 4096
    assert small["longest_is_limited_by"] == "positions"


def test_a_row_beyond_the_positions_is_not_searched() -> None:
    [task] = gpu_tasks(memory_study(fits=["too-long"])).values()
    with pytest.raises(StudyError, match="reformer has 4096 positions"):
        task()


def test_there_may_be_nothing_to_search() -> None:
    assert gpu_tasks(memory_study(fits=[])) == {}
