"""Runs of params.yaml without results yet: every page is written all the same, and counts them.

As after a line was added to params.yaml, and before the study was computed again.
"""

from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.reporting.advice import advice
from reformer_seqlen.reporting.answer import answer
from reformer_seqlen.reporting.grid import not_computed
from reformer_seqlen.reporting.metrics_files import read_metrics
from reformer_seqlen.reporting.page import page, readme_sections
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.report import print_results
from reformer_seqlen.reporting.seeds import computed
from tests.conftest import ROOT
from tests.metrics_example import metrics_of
from tests.report_example import one_run, runs

NEW: dict[str, dict[str, Any]] = {
    "length": {"sequence_length": 512},
    "longest": {"sequence_length": 4096},
    "shortest": {"sequence_length": 64},
    "corpus": {"corpus": "novel"},
    "model": {"model": "plain"},
    "seed": {"train": {"seed": 7}},
    "training": {"train": {"updates": 7}},
    "untrained": {"train": "none"},
    "windows": {"chunk": {"policy": "published"}},
    "stride": {"evaluate": {"stride": 64}},
    "options": {"options": {"lsh_causality": "published"}},
}


def _write_pages(values: Any, study: Runs) -> str:
    """Everything that is made of metrics and runs."""
    sections = readme_sections(values, study, ["answer"], [])
    said = [*answer(values, study), *advice(values, study)]
    return "\n".join([page(values, study, "tiny", ["answer"], []), *sections.values(), *said])


@pytest.mark.parametrize("own", NEW.values(), ids=NEW)
def test_a_new_run_stands_in_no_ones_way(own: dict[str, Any]) -> None:
    new = {"new": one_run(**own)}
    values = metrics_of(runs())
    assert "not computed yet" in _write_pages(values, {**runs(), **new})
    _write_pages(values, {**new, **runs()})
    _write_pages(values, new)


def test_a_run_that_was_scored_untrained_and_is_trained_now_is_not_computed() -> None:
    values, study = metrics_of(runs()), runs()
    values["details"]["training"]["news-256"]["updates"] = 0
    assert computed(values, study) == {*study} - {"news-256"}
    assert "not computed yet: 1 of 4 runs (news-256)" in not_computed(
        study, computed(values, study)
    )
    assert "not computed yet" in readme_sections(values, study, [], [])["headline"]
    as_it_is = {**study, "news-256": one_run(train="none")}
    assert computed(values, as_it_is) == {*study}


@pytest.mark.parametrize("own", NEW.values(), ids=NEW)
def test_nor_does_one_beside_the_results_of_a_whole_study(own: dict[str, Any]) -> None:
    study = load_study(ROOT / "params.yaml").runs
    likely = next(iter(study.values())).model_dump()
    new = {"new": Run.model_validate({**likely, **own})}
    values = read_metrics(ROOT / "metrics")
    _write_pages(values, {**study, **new})
    _write_pages(values, {**new, **study})
    _write_pages(values, {f"{name}-renamed": run for name, run in study.items()})


def test_a_run_that_is_trained_from_now_on_stands_in_no_ones_way() -> None:
    """What is here of it was scored without training, and has no speed."""
    values = metrics_of(runs())
    values["details"]["training"]["news-256"]["updates"] = 0
    for key in ("steps_per_second", "samples_per_second", "tokens_per_second"):
        values["measured"]["timings"]["finetune"]["news-256"][key] = None
    assert "news" not in "".join(answer(values, runs()))
    assert not any(sentence.startswith("For news") for sentence in advice(values, runs()))
    _write_pages(values, runs())


def test_they_are_counted_and_named() -> None:
    computed = metrics_of(runs())["validation"]
    assert not_computed(runs(), computed) == ""
    assert not_computed({**runs(), "new": one_run(512)}, computed) == (
        "not computed yet: 1 of 5 runs (new); `make repro` computes them"
    )
    new = {f"new-{number}": one_run(64 * number) for number in range(1, 8)}
    assert not_computed({**runs(), **new}, computed) == (
        "not computed yet: 7 of 11 runs (new-1, new-2, new-3, new-4, new-5, ...); "
        "`make repro` computes them"
    )


def test_the_printed_tables_end_with_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    name = next(iter(load_study(ROOT / "params.yaml").runs))
    (tmp_path / "params.yaml").write_text(text.replace(f"  {name}:\n", "  renamed:\n"))
    (tmp_path / "metrics").symlink_to(ROOT / "metrics")
    monkeypatch.chdir(tmp_path)
    print_results()
    assert "runs (renamed); `make repro` computes them" in capsys.readouterr().out
