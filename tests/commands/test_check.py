"""`make check`: what it compares, how exactly, and what it says."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.commands import check
from reformer_seqlen.commands.check import (
    TOLERANCE,
    compare_profile,
    compare_readme,
    differences,
    machine_tolerance,
)
from reformer_seqlen.reporting import figures, memory_figures
from reformer_seqlen.reporting.report import write_report
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import ROOT
from tests.report_example import runs, write_results
from tests.reporting.test_report import README, params_of

PROFILE = "# @package _global_\nprofile: tiny\ntrain: {batch_size: 4}\n"


def _git(*arguments: str) -> None:
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *author, *arguments], check=True, capture_output=True)


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reported study in a git repository with everything committed."""
    monkeypatch.chdir(tmp_path)
    study = runs()
    write_results(Path("data"), study)
    Path("README.md").write_text(README)
    params = params_of(study)
    monkeypatch.setattr(figures, "loss_figure", lambda *_: "drawn")
    for name in ("memory_figure", "composition_figure", "cards_figure", "training_figure"):
        monkeypatch.setattr(memory_figures, name, lambda *_: "drawn")
    monkeypatch.setattr(check, "load_study", lambda *_: params)
    write_report(params)
    Path("conf/profile").mkdir(parents=True)
    Path("conf/config.yaml").write_text("defaults:\n  - profile: tiny\n  - _self_\n")
    Path("conf/profile/tiny.yaml").write_text(PROFILE)
    Path("params.yaml").write_text("profile: tiny\ntrain:\n  batch_size: 4\n")
    _git("init", "--quiet")
    _git("add", "--all")
    _git("commit", "--quiet", "--message", "study")
    return tmp_path


def _change(path: str, change: Callable[[Any], None]) -> None:
    value = json.loads(Path(path).read_text())
    change(value)
    Path(path).write_text(json.dumps(value, indent=2) + "\n")


def _set(path: str, row: str, key: str, value: Any) -> None:
    _change(path, lambda metrics: metrics[row].__setitem__(key, value))


def _on_another_machine() -> None:
    _change("metrics/machine.json", lambda machine: machine.update(processor="Other CPU"))


def _found(tolerance: float = 0.0) -> list[str]:
    return [str(difference) for difference in check.compare_with_head(tolerance)]


def test_what_was_just_committed_is_right(
    committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check.main()
    shown = capsys.readouterr().out
    assert "byte for byte: both were computed on Imaginary CPU, 2 threads, torch 2.13.0" in shown
    assert shown.splitlines()[-1].startswith("ok: ")


def test_one_digit_of_quality_is_found_on_the_same_machine(
    committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _set("metrics/quality.json", "news-256", "test_perplexity", 11.5001)
    with pytest.raises(StudyError, match="1 value differs"):
        check.main()
    assert (
        "metrics/quality.json: news-256.test_perplexity: committed 11.5, computed 11.5001"
        in capsys.readouterr().out
    )


def test_other_bytes_of_the_same_values_are_found(committed: Path) -> None:
    path = Path("metrics/training.json")
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert _found() == [
        "metrics/training.json: layout: same values, other bytes: "
        "write it with `python -m stages.report`"
    ]


def test_another_machine_has_a_tolerance_and_it_is_said(
    committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _on_another_machine()
    tolerance, reason = machine_tolerance()
    assert tolerance == TOLERANCE
    assert reason.startswith("within 5%: committed was computed on Imaginary CPU")
    assert "here Other CPU" in reason
    _set("metrics/quality.json", "news-256", "test_perplexity", 11.5 * 1.04)
    _set("metrics/quality.json", "news-256", "test_perplexity_spread", 0.02)
    assert _found(tolerance) == []
    _set("metrics/quality.json", "news-256", "test_perplexity", 11.5 * 1.06)
    assert len(_found(tolerance)) == 1


@pytest.mark.parametrize(("key", "value"), [("test_tokens", 10_001), ("diverged", True)])
def test_counts_and_verdicts_are_exact_everywhere(committed: Path, key: str, value: Any) -> None:
    _set("metrics/quality.json", "wiki-1024", key, value)
    [found] = _found(TOLERANCE)
    assert f"wiki-1024.{key}: " in found


def test_timings_and_measured_memory_are_not_compared(committed: Path) -> None:
    _set("metrics/timings.json", "news-256", "runtime_seconds", 1.0)
    measured = ("measured_mib", "measured_allocated_mib", "measured_reserved_mib")
    for key in (*measured, "measured_error_percent"):
        _set("metrics/memory.json", "memory-256", key, 1.0)
    _set("metrics/memory.json", "memory-256", "device", "Imaginary GPU")
    _set("metrics/memory.json", "memory-256", "why", "took too long")
    path = Path("plots/memory/memory.csv")
    path.write_text(path.read_text().replace("measured,114.0", "measured,1.0"))
    assert _found() == []


@pytest.mark.parametrize("tolerance", [0.0, TOLERANCE])
def test_predicted_memory_is_compared_exactly_on_every_machine(
    committed: Path, tolerance: float
) -> None:
    _set("metrics/memory.json", "memory-256", "predicted_mib", 1264.0001)
    _set("metrics/memory.json", "memory-256", "error_percent", 0.001)
    _set("metrics/memory_training.json", "reversible-6-256", "predicted_allocated_mib", 134.001)
    path = Path("plots/memory/composition.csv")
    path.write_text(path.read_text().replace("activations,64.0", "activations,64.001"))
    assert _found(tolerance) == [
        "metrics/memory.json: memory-256.predicted_mib: committed 1264.0, computed 1264.0001",
        "metrics/memory.json: memory-256.error_percent: committed 0.0, computed 0.001",
        "metrics/memory_training.json: reversible-6-256.predicted_allocated_mib: "
        "committed 134.0, computed 134.001",
        "plots/memory/composition.csv: memory-256, kind activations.mib: "
        "committed 64.0, computed 64.001",
    ]


def test_what_fits_a_card_is_compared(committed: Path) -> None:
    _change(
        "metrics/memory_cards.json",
        lambda cards: cards["memory-256"]["cards"]["small"].update(largest_batch=375),
    )
    assert _found(TOLERANCE) == [
        "metrics/memory_cards.json: memory-256.cards.small.largest_batch: "
        "committed 376, computed 375"
    ]


def test_a_changed_point_of_a_curve_is_found(committed: Path) -> None:
    path = Path("plots/validation_loss/news.csv")
    path.write_text(path.read_text().replace("2.8358", "2.8359"))
    assert _found() == [
        "plots/validation_loss/news.csv: news-256, step 4.validation_loss: "
        "committed 2.8358, computed 2.8359"
    ]
    assert _found(TOLERANCE) == []


def test_on_another_processor_an_epochs_updates_are_compared_together(committed: Path) -> None:
    path = Path("plots/training_loss/news.csv")
    header, *rows = path.read_text().splitlines()
    *cells, loss = rows[0].split(",")

    def write(first: float, others: float) -> None:
        lines = [",".join([*cells, str(float(loss) * first)])]
        for row in rows[1:]:
            *begin, last = row.split(",")
            lines.append(",".join([*begin, str(float(last) * others)]))
        path.write_text("\n".join([header, *lines]) + "\n")

    write(1.07, 1.0)
    assert len(_found()) == 1
    assert _found(TOLERANCE) == []
    write(1.07, 1.07)
    assert _found(TOLERANCE)[0].startswith(f"{path}: news-256, epoch 1.training_loss: committed ")


def test_on_another_processor_names_and_counts_of_a_curve_stay_exact(committed: Path) -> None:
    path = Path("plots/training_loss/news.csv")
    header, first, *rows = path.read_text().splitlines()
    run, model, *cells = first.split(",")
    path.write_text("\n".join([header, ",".join([run, "other", *cells]), *rows]) + "\n")
    [found] = _found(TOLERANCE)
    assert found == _found()[0]
    assert found.endswith(f".model: committed '{model}', computed 'other'")


def test_a_curve_that_is_gone_and_one_that_is_new_are_found(committed: Path) -> None:
    Path("plots/training_loss/news.csv").rename("plots/training_loss/poems.csv")
    assert _found() == [
        "plots/training_loss/news.csv: all of it: committed a file, computed nothing",
        "plots/training_loss/poems.csv: all of it: committed nothing, computed a file",
    ]


def test_a_run_that_is_gone_is_found_in_a_short_line(committed: Path) -> None:
    _change("metrics/quality.json", lambda metrics: metrics.pop("news-256"))
    [found] = _found()
    assert found.startswith("metrics/quality.json: news-256: committed {")
    assert found.endswith("..., computed nothing")
    assert len(found) < 200


def test_the_rows_of_a_run_that_is_new_or_gone_are_counted(committed: Path) -> None:
    path = Path("plots/validation_loss/news.csv")
    text = path.read_text()
    rows = [line for line in text.splitlines() if line.startswith("news-256,")]
    path.write_text(text + "".join(f"{row}\n".replace("news-256", "news-512") for row in rows))
    new = f"plots/validation_loss/news.csv: news-512: {len(rows)} rows are new"
    assert _found() == _found(TOLERANCE) == [new]
    path.write_text(text.replace(f"{rows[0]}\n", ""))
    assert _found() == ["plots/validation_loss/news.csv: news-256: 1 row is gone"]


def test_a_readme_that_shows_other_numbers_is_found(committed: Path) -> None:
    assert compare_readme() == []
    text = Path("README.md").read_text()
    Path("README.md").write_text(text.replace("10.50", "10.51"))
    [found] = compare_readme()
    assert (found.file, found.key) == ("README.md", "section `perplexity`")
    shown, given = found.what.split(", the metrics give ")
    assert shown.startswith("shows ")
    assert "10.51" in shown
    assert "10.50" in given


def test_params_that_are_not_their_profile_are_found(committed: Path) -> None:
    assert compare_profile() == []
    Path("params.yaml").write_text("profile: tiny\ntrain:\n  batch_size: 8\n  epochs: 2\n")
    assert [str(found) for found in compare_profile()] == [
        "params.yaml: train.batch_size: params.yaml has 8, profile tiny has 4",
        "params.yaml: train.epochs: params.yaml has 2, profile tiny has nothing",
    ]


def test_what_to_do_about_lines_that_no_profile_has_is_said(committed: Path) -> None:
    Path("params.yaml").write_text("profile: tiny\ntrain:\n  batch_size: 8\n")
    advice = (
        r"(?s)1 value differs.*put the lines into conf/profile/NAME\.yaml.* profile of your own"
    )
    with pytest.raises(StudyError, match=advice):
        check.main()


def test_a_profile_that_is_not_there_is_named(committed: Path) -> None:
    Path("params.yaml").write_text("profile: huge\n")
    with pytest.raises(StudyError, match="there is no profile `huge`: choose one of tiny"):
        compare_profile()


def test_outside_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(StudyError, match="no commit to compare with"):
        check.main()


def test_without_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match="git is not installed, or not on PATH"):
        check.main()


def test_nested_differences_are_named_by_their_keys() -> None:
    old = {"a": [1.0, {"b": "x"}], "c": True, "d": 1}
    new = {"a": [1.04, {"b": "y"}], "c": 1.0, "e": 1}
    keys = [found.key for found in differences("f", old, new, 0.05)]
    assert keys == ["a[1].b", "d", "e"]


def test_a_spread_may_differ_as_much_as_what_it_is_a_spread_of() -> None:
    def found(spread: float, tolerance: float) -> list[str]:
        old, new = ({"loss": 10.0, "loss_spread": value} for value in (0.01, spread))
        return [each.key for each in differences("f", old, new, tolerance)]

    assert found(0.49, 0.05) == []
    assert found(0.52, 0.05) == ["loss_spread"]
    assert found(500.0, 0.05) == ["loss_spread"]
    assert found(0.0101, 0.0) == ["loss_spread"]


def test_this_projects_readme_shows_this_projects_metrics() -> None:
    assert [str(found) for found in compare_readme(ROOT)] == []


def test_this_projects_params_are_their_profile() -> None:
    assert [str(found) for found in compare_profile(ROOT)] == []
