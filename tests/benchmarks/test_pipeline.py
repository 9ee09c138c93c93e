"""The pipeline's benchmark, run on the smoke study."""

import shutil
from pathlib import Path

import pytest

from benchmarks.pipeline import clone, inside_training_and_scoring, measure
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.runtime.files import write_json
from tests.conftest import Project


def test_seconds_inside_are_the_sum_of_what_stages_wrote(tmp_path: Path) -> None:
    for kind, runtime in (("pretrain", 4.0), ("finetune", 2.0), ("evaluate", 0.5)):
        path = tmp_path / f"data/timings/{kind}/a.json"
        write_json(path, {"runtime_seconds": runtime, "threads": 2})
    assert inside_training_and_scoring(tmp_path) == 6.5


@pytest.mark.slow
def test_it_measures_a_clone_with_the_study_of_a_profile(tmp_path: Path) -> None:
    clone(tmp_path / "study", "smoke")
    assert load_study(tmp_path / "study/params.yaml").profile == "smoke"


@pytest.mark.slow
def test_it_gives_the_ratios_that_have_bars(
    own_smoke: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Windows come from DVC's cache here, so that nothing runs."""
    shutil.rmtree(own_smoke.root / "data/windows")
    results = measure(own_smoke.root, repeats=1)
    assert list(results) == ["repro_overhead_in_imports", "noop_in_status", "stages"]
    assert results["stages"] == 13
    assert 1 < results["noop_in_status"] < 5
    printed = capsys.readouterr().out
    assert f"{results['repro_overhead_in_imports']} T, at most 20 T are wanted" in printed
    assert f"{results['noop_in_status']} times `dvc status -q`" in printed
    own_smoke.dvc("status", "-q")
