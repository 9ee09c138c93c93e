"""The files of metrics/ are written and read back, and what was made of them by hand is named."""

from pathlib import Path

import pytest

from reformer_seqlen.parameters.report import Reporting
from reformer_seqlen.reporting.metrics import Metrics, metrics
from reformer_seqlen.reporting.metrics_files import read_metrics, write_metrics
from reformer_seqlen.reporting.results import read_results
from reformer_seqlen.runtime.errors import StudyError
from tests.report_example import runs, study_of, write_results


def _metrics(root: Path) -> Metrics:
    return metrics(read_results(study_of(runs()), root), runs(), Reporting())


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder with the results of a finished study."""
    write_results(tmp_path / "data", runs())
    return tmp_path


def test_what_is_written_is_read_back(finished: Path) -> None:
    values = _metrics(finished)
    write_metrics(values, finished / "metrics")
    assert read_metrics(finished / "metrics") == values


def test_files_of_runs_that_are_gone_are_gone(finished: Path) -> None:
    folder = finished / "metrics"
    write_metrics(_metrics(finished), folder)
    fewer = runs(("news",))
    less = metrics(read_results(study_of(fewer), finished), fewer, Reporting())
    write_metrics(less, folder)
    assert sorted(path.stem for path in (folder / "test").iterdir()) == ["news-1024", "news-256"]


def test_a_missing_or_broken_file_is_named(finished: Path) -> None:
    folder = finished / "metrics"
    with pytest.raises(StudyError, match=r"details/scores.json is missing: run `make repro`"):
        read_metrics(folder)
    write_metrics(_metrics(finished), folder)
    (folder / "test/news-256.json").write_text("<<<<<<< HEAD")
    with pytest.raises(StudyError, match=r"test/news-256.json is not JSON .*report` writes it"):
        read_metrics(folder)


@pytest.mark.parametrize("given", ['"2.1"', "[2.1]", "{}"])
def test_a_score_that_was_made_no_number_is_named(finished: Path, given: str) -> None:
    write_metrics(_metrics(finished), finished / "metrics")
    path = finished / "metrics/validation/news-256.json"
    path.write_text(f'{{"bits_per_byte": {given}, "lb": ">="}}')
    with pytest.raises(
        StudyError, match=r"news-256\.json holds .* as bits_per_byte, which is no nu"
    ):
        read_metrics(finished / "metrics")
