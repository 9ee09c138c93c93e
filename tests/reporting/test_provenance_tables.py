"""The table that says where results come from."""

import json
from pathlib import Path

import pytest

from reformer_seqlen.parameters.report import Reporting
from reformer_seqlen.reporting.metrics import Metrics, metrics
from reformer_seqlen.reporting.provenance_tables import provenance_table
from reformer_seqlen.reporting.results import read_results
from tests.report_example import runs, study_of, write_results

STUDY = study_of(runs())


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder with the results of a finished study."""
    write_results(tmp_path / "data", runs())
    return tmp_path


def _metrics(root: Path) -> Metrics:
    return metrics(read_results(STUDY, root), runs(), Reporting())


def _change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_runs_that_agree_share_a_row_and_all_is_said_once(finished: Path) -> None:
    for corpus in ("news", "wiki"):
        sources = [{"file": "all", "what": f"{corpus}.txt", "sha256": corpus * 16}]
        _change(finished / f"data/texts/{corpus}/source.json", sources=sources)
    table = provenance_table(_metrics(finished), runs())
    assert table.headers == ["results", "sha256 of the text"]
    assert table.rows == [
        ["news-256, news-1024", "newsnewsnews"],
        ["wiki-256, wiki-1024", "wikiwikiwiki"],
        ["memory", ""],
    ]
    assert table.notes == [
        "The same for all: commit: 0123456789; versions: python 3.11.7, torch 2.13.0, transformers "
        "5.23.0, numpy 2.4.6; processor: Imaginary CPU; instructions: AVX512, avx512_bf16; "
        "threads: 2; cores: 4; C library: glibc 2.36; seeds: base 7, training 42, scoring 42; "
        "sha256 of the base: made here from text basebasebase."
    ]


def test_a_base_is_known_by_its_own_sum_or_by_that_of_the_text_it_was_made_from(
    finished: Path,
) -> None:
    study = runs()
    values = _metrics(finished)
    cards = values["details"]["models"]
    cards["fetched"] = {"pretraining": None, "checkpoint": {"what": "a/b", "sha256": "ab" * 32}}
    study["wiki-1024"] = study["wiki-1024"].model_copy(update={"model": "fetched"})
    table = provenance_table(values, study)
    bases = {row[0]: row[table.headers.index("sha256 of the base")] for row in table.rows}
    assert bases == {
        "news-256, news-1024, wiki-256": "made here from text basebasebase",
        "wiki-1024": "abababababab",
        "memory": "",
    }


def test_a_run_that_was_trained_and_scored_in_two_places_names_both(finished: Path) -> None:
    changed = {"instruction_set": "AVX2", "commit": "f" * 40, "dirty": True}
    _change(finished / "data/timings/evaluate/news-256.json", **changed)
    table = provenance_table(_metrics(finished), runs())
    row = dict(zip(table.headers, table.rows[0], strict=True))
    assert row["results"] == "news-256"
    assert row["commit"] == "0123456789 / ffffffffff, changed"
    assert row["instructions"] == "AVX512, avx512_bf16 / AVX2"
    assert table.notes[-1].startswith("changed: code or params.yaml differed from the commit")


def test_memory_that_was_predicted_elsewhere_says_so(finished: Path) -> None:
    one = runs(("news",), (256,))
    _change(finished / "data/timings/benchmark_memory.json", processor="Another CPU")
    table = provenance_table(metrics(read_results(study_of(one), finished), one, Reporting()), one)
    assert table.headers == ["results", "processor"]
    assert table.rows == [["news-256", "Imaginary CPU"], ["memory", "Another CPU"]]


def test_an_n_gram_stands_beside_the_runs_of_its_text(finished: Path) -> None:
    """Counting knows of no torch, instructions or seeds: its cells of these are empty."""
    values = _metrics(finished)
    values["details"]["counts"]["news-3gram"] = {"corpus": "news"}
    computed = {"processor": "Imaginary CPU", "commit": "f" * 40, "dirty": False}
    values["measured"]["provenance"]["count"] = {"news-3gram": computed}
    table = provenance_table(values, runs())
    assert table.headers == ["results", "commit"]
    assert table.rows[-2] == ["news-3gram", "ffffffffff"]


def test_metrics_of_an_older_version_have_no_such_table(finished: Path) -> None:
    values = _metrics(finished)
    measured = {name: it for name, it in values["measured"].items() if name != "provenance"}
    assert provenance_table({**values, "measured": measured}, runs()).rows == []
