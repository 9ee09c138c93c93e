"""What stages need of a worker, and what is said of it."""

import pytest

from reformer_seqlen.distribution.footprint import (
    GIB,
    Footprint,
    footprints,
    reads_this_machine,
)
from reformer_seqlen.distribution.footprint_table import expected_seconds, table
from reformer_seqlen.distribution.slurm_engine import minutes
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import parse_study
from tests.conftest import CONF


def test_a_stage_needs_a_process_and_its_tensors_or_a_gpu() -> None:
    training = Footprint(threads=2, tensor_bytes=4 * GIB, gpus=1)
    assert training.on(gpus=False) == Footprint(2, 7 * GIB, 4 * GIB, gpus=0)
    assert training.on(gpus=True) == Footprint(2, 2 * GIB, 4 * GIB, gpus=1)
    assert Footprint().on(gpus=True) == Footprint()


def test_each_process_of_a_training_has_its_own_tensors() -> None:
    training = Footprint(threads=4, tensor_bytes=4 * GIB, gpus=2)
    assert training.on(gpus=False).memory_bytes == 14 * GIB
    assert training.on(gpus=True) == Footprint(4, 4 * GIB, 4 * GIB, gpus=2)


def test_a_study_takes_its_longest_way_or_all_of_it_over_the_workers() -> None:
    needs = {"a": set[str](), "b": {"a"}, "c": set[str](), "d": set[str]()}
    found = {name: Footprint(seconds=10.0) for name in needs}
    assert expected_seconds(needs, found, 1) == 40.0
    assert expected_seconds(needs, found, 2) == 20.0
    assert expected_seconds(needs, found, 4) == 20.0
    assert expected_seconds(needs, {**found, "d": Footprint(seconds=None)}, 4) is None


def test_the_table_has_a_line_for_each_kind_and_place() -> None:
    found = {
        "download@a": Footprint(),
        "finetune@a": Footprint(2, 3 * GIB, GIB, gpus=1, seconds=90.0),
        "finetune@b": Footprint(2, 5 * GIB, GIB, gpus=1, seconds=None),
    }
    lines = table(found, {"download@a"}, "3 workers").splitlines()
    assert [" ".join(line.split()) for line in (lines[0], *lines[2:])] == [
        "stages number where threads GiB GPUs time of each by plan",
        "download 1 here 1 2.0 0 4 s",
        "finetune 2 3 workers 2 3.0 to 5.0 1 1 min 30 s",
    ]


def test_a_job_may_take_three_times_the_plan() -> None:
    assert [minutes(seconds) for seconds in (1.0, 200.0, 3600.0)] == [10, 10, 180]


@pytest.mark.slow
def test_the_smoke_study_is_planned_stage_by_stage() -> None:
    values = compose("smoke", CONF)
    values["runs"]["news-256"]["train"] = {"processes": 2}
    study = parse_study(values, "smoke")
    names = {"finetune@news-64", "finetune@news-256", "evaluate@news-64", "chunk@news-64"}
    found = footprints(study, names)
    assert found["chunk@news-64"] == Footprint()
    assert found["finetune@news-64"].gpus == 1
    assert (found["finetune@news-256"].gpus, found["finetune@news-256"].threads) == (2, 2)
    assert 0 < found["finetune@news-64"].tensor_bytes < GIB
    assert found["evaluate@news-64"].threads == 1


def test_stages_that_read_files_of_this_machine_are_told_apart() -> None:
    values = compose("smoke", CONF)
    source = {"kind": "path", "path": "mine.txt", "licence": "my own"}
    values["corpora"]["news"]["files"] = {"all": source}
    study = parse_study(values, "smoke")
    assert reads_this_machine("download@news", study)
    assert not reads_this_machine("pretrain@tiny", study)
    assert not reads_this_machine("report", study)
