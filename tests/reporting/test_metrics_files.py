"""The files of metrics/ are written and read back, and what was made of them by hand is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.parameters.report import Reporting
from reformer_seqlen.reporting.metrics import metrics
from reformer_seqlen.reporting.metrics_files import read_metrics, write_metrics
from reformer_seqlen.reporting.results import read_results
from reformer_seqlen.runtime.errors import StudyError
from tests.report_example import metrics_in, runs, study_of


def test_what_is_written_is_read_back(finished: Path) -> None:
    values = metrics_in(finished)
    write_metrics(values, finished / "metrics")
    assert read_metrics(finished / "metrics") == values


def test_files_of_runs_that_are_gone_are_gone(finished: Path) -> None:
    folder = finished / "metrics"
    write_metrics(metrics_in(finished), folder)
    fewer = runs(("news",))
    less = metrics(read_results(study_of(fewer), finished), fewer, Reporting())
    write_metrics(less, folder)
    assert sorted(path.stem for path in (folder / "test").iterdir()) == ["news-1024", "news-256"]


def test_a_missing_or_broken_file_is_named(finished: Path) -> None:
    folder = finished / "metrics"
    with pytest.raises(StudyError, match=r"details/scores.json is missing: run `make repro`"):
        read_metrics(folder)
    write_metrics(metrics_in(finished), folder)
    (folder / "test/news-256.json").write_text("<<<<<<< HEAD")
    with pytest.raises(StudyError, match=r"test/news-256.json is not JSON .*report` writes it"):
        read_metrics(folder)


def _without(values: Any, *keys: str) -> None:
    for key in keys[:-1]:
        values = values[key]
    del values[keys[-1]]


def _with(given: Any, values: Any, *keys: str) -> None:
    for key in keys[:-1]:
        values = values[key]
    values[keys[-1]] = given


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("validation/news-256", lambda it: _without(it, "bits_per_byte")),
        ("details/scores", lambda it: _without(it, "news-256", "test", "unknown_rate")),
        ("details/training", lambda it: _with("many", it, "news-256", "updates")),
        ("details/texts", lambda it: _with(None, it, "windows", "news-256")),
        ("details/models", lambda it: _with([], it, "tiny")),
        ("measured/machine", lambda it: _with(2, it, "processor")),
        ("measured/timings", lambda it: _with({}, it, "finetune", "news-256")),
    ],
)
def test_other_keys_or_kinds_of_values_than_were_written_are_named(
    finished: Path, name: str, change: Callable[[Any], None]
) -> None:
    write_metrics(metrics_in(finished), finished / "metrics")
    path = finished / f"metrics/{name}.json"
    values = json.loads(path.read_text("utf-8"))
    change(values)
    path.write_text(json.dumps(values), "utf-8")
    with pytest.raises(StudyError, match=f"{name}.json has other keys or kinds of values"):
        read_metrics(finished / "metrics")


def test_another_number_is_no_other_shape(finished: Path) -> None:
    values = metrics_in(finished)
    write_metrics(values, finished / "metrics")
    path = finished / "metrics/test/news-256.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "bits_per_byte": 1}))
    assert read_metrics(finished / "metrics")["test"]["news-256"]["bits_per_byte"] == 1


def test_a_file_that_is_gone_or_of_another_study_is_named(finished: Path) -> None:
    folder = finished / "metrics"
    write_metrics(metrics_in(finished), folder)
    shutil.copy(folder / "test/news-256.json", folder / "memory/other.json")
    with pytest.raises(StudyError, match=r"memory/other\.json is not of this study"):
        read_metrics(folder)
    (folder / "memory/other.json").unlink()
    (folder / "validation/news-256.json").unlink()
    with pytest.raises(StudyError, match=r"validation/news-256\.json is missing: `python -m stag"):
        read_metrics(folder)


def test_a_kept_studys_file_comes_back_with_git_alone(finished: Path) -> None:
    folder = finished / "results/mine/metrics"
    write_metrics(metrics_in(finished), folder)
    (folder / "details/scores.json").unlink()
    with pytest.raises(StudyError, match=r"scores\.json is missing: `git checkout HEAD .*mine/met"):
        read_metrics(folder)
    write_metrics(metrics_in(finished), folder)
    (folder / "measured/shapes.json").unlink()  # as a study that was kept long ago
    assert read_metrics(folder) == metrics_in(finished)


@pytest.mark.parametrize("given", ['"2.1"', "[2.1]", "{}"])
def test_a_score_that_was_made_no_number_is_named(finished: Path, given: str) -> None:
    write_metrics(metrics_in(finished), finished / "metrics")
    path = finished / "metrics/validation/news-256.json"
    path.write_text(f'{{"bits_per_byte": {given}, "lb": ">="}}')
    with pytest.raises(
        StudyError, match=r"news-256\.json holds .* as bits_per_byte, which is no nu"
    ):
        read_metrics(finished / "metrics")
