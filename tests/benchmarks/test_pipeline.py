"""The pipeline's benchmark, run on the smoke study."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.pipeline import inside_training_and_scoring
from reformer_seqlen.runtime.files import write_json
from tests.conftest import copy_project


def test_seconds_inside_are_the_sum_of_what_stages_wrote(tmp_path: Path) -> None:
    for kind, runtime in (("pretrain", 4.0), ("finetune", 2.0), ("evaluate", 0.5)):
        path = tmp_path / f"data/timings/{kind}/a.json"
        write_json(path, {"runtime_seconds": runtime, "threads": 2})
    assert inside_training_and_scoring(tmp_path) == 6.5


@pytest.mark.slow
def test_its_last_line_is_json_with_the_ratios(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    printed = project.run(sys.executable, "-m", "benchmarks.pipeline", "--profile", "smoke")
    *shown, last = printed.splitlines()
    results = json.loads(last)
    assert list(results) == ["repro_overhead_in_imports", "noop_in_status", "stages"]
    assert results["stages"] == 11
    assert results["repro_overhead_in_imports"] > 0
    assert 1 < results["noop_in_status"] < 5
    assert "11 stages ran" in printed
    assert shown[-2].startswith("11 stages: ")
