"""The published study's numbers, and what of ours is held against them."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reporting.published import load_published, published_mib
from reformer_seqlen.reporting.published_tables import (
    published_intro,
    published_tables,
    side_by_side,
)
from tests.conftest import ROOT
from tests.metrics_example import metrics_of
from tests.report_example import runs

MODEL = "reformer-crime-and-punishment"


def _row(**values: Any) -> dict[str, Any]:
    row = {"model": "reformer-cp", "positions": "axial", "allocations": "today"}
    return {**row, "batch_size": 16, "sequence_length": 2048, **values}


@pytest.mark.parametrize(
    ("values", "mib"),
    [
        ({}, 1551),
        ({"positions": "learned"}, 2055),
        ({"model": "reformer-en8", "positions": "learned"}, 15063),
        ({"model": "gpt2", "positions": "own", "allocations": 2021, "sequence_length": 512}, 4761),
        ({"model": "gpt2", "positions": "own", "allocations": 2021}, None),  # N/A in the study
        ({"model": "gpt2", "positions": "own", "sequence_length": 512}, None),  # today's code
        ({"model": "reformer-en8"}, None),  # axial: not in the study
        ({"sequence_length": 1024}, None),
        ({"batch_size": 8}, None),
    ],
)
def test_a_memory_row_has_the_published_number_of_the_same_inference(
    values: dict[str, Any], mib: float | None
) -> None:
    assert published_mib(load_published(), _row(**values)) == mib


def test_every_published_cell_of_memory_has_its_row_in_the_default_study() -> None:
    published = load_published()
    printed = [m for line in published["memory"]["rows"] for m in line["mib"].values()]
    rows = YAML(typ="safe").load(ROOT / "conf/memory/published.yaml")["rows"].values()
    found = [published_mib(published, _row(positions="own") | row) for row in rows]
    assert len(printed) == 16
    assert sorted(filter(None, found)) == sorted(filter(None, printed))


def test_the_published_tables_are_the_studys() -> None:
    tables = {table.name: table for table in published_tables(load_published())}
    assert tables["published-perplexity"].rows == [
        ["256", "14.49", "13.29", ""],
        ["512", "", "", "67.08"],
        ["2048", "26.18", "24.54", "32.99"],
        ["16384", "29.33", "28.84", "24.92"],
    ]
    assert tables["published-runtime"].rows[1] == ["512", "", "", "7:05:43.91"]
    assert tables["published-speed"].rows[0] == ["256", "~ 10.1", "~ 161"]
    memory = tables["published-memory"]
    assert memory.headers == ["model", "positions", "256", "512", "1024", "2048", "16384"]
    assert memory.rows[2][2:] == ["2,197", "5,079", "8,407", "15,063", ""]
    assert memory.rows[3][2:] == ["3,063", "4,761", "8,827", "N/A", ""]
    assert all(table.title.startswith("Published") for table in tables.values())


def test_the_source_is_linked_at_its_commit() -> None:
    assert "coding-assignment-week-7-eff-1/blob/8ef55e4be27aecb068cfe4d7c54cfd771d3b08be/" in (
        published_intro(load_published())
    )


def test_side_by_side_finds_the_published_cell_of_a_run_and_names_the_others() -> None:
    study = {"mine": Run(corpus="ptb", model=MODEL, sequence_length=256)}
    values = metrics_of(study)
    values["details"]["texts"]["tokens"] = {f"ptb-{MODEL}": {"train": {"rows": 4207}}}
    table = side_by_side(load_published(), values, study)
    assert [row[:3] for row in table.rows] == [["ptb", "mine", "256"]] * 7
    assert [row[3:] for row in table.rows] == [
        ["perplexity", "13.29", "10.00", "0.752"],
        ["runtime", "0:29:33.46", "1:11:32.24", "2.420"],
        ["steps/s", "~ 10.1", "10.1", "1.002"],
        ["samples/s", "~ 161", "161", "1.000"],
        ["epochs", "30", "3", "0.100"],
        ["updates", "~ 17,845", "1,200", "0.067"],
        ["training rows", "42,068", "4,207", "0.100"],
    ]
    assert table.notes[0].startswith("No run yet for the published cells wt2 256, ")
    assert "ptb 2048" in table.notes[0]
    assert "ptb 256" not in table.notes[0]


def test_side_by_side_shows_what_was_published_of_a_cell_alone() -> None:
    study = {"a": Run(corpus="enwik8", model=MODEL, sequence_length=512)}
    values = metrics_of(study)
    values["validation"]["a"] = {}  # no number, as of a loss that is none
    table = side_by_side(load_published(), values, study)
    assert [row[3:] for row in table.rows] == [
        ["perplexity", "67.08", "", ""],
        ["runtime", "7:05:43.91", "1:11:32.24", "0.168"],
        ["epochs", "30", "3", "0.100"],
    ]


def test_side_by_side_says_what_was_done_otherwise() -> None:
    study = {
        f"{corpus}-256": Run(corpus=corpus, model=MODEL, sequence_length=256)
        for corpus in ("wikitext-2", "ptb")
    }
    values = metrics_of(study)
    published = {"optimizer": "adafactor", "learning_rate": 2e-4, "batch_size": 16}
    otherwise = {"batch_size": 4, "lsh_causality": "strict"}
    for name in study:
        values["details"]["training"][name]["settings"] = {**published, **otherwise}
    assert side_by_side(load_published(), values, study).notes[-1] == (
        "`wikitext-2-256` and `ptb-256` differ from the study in: batch size 4 (16 there); lsh "
        "causality strict (published there); windows contiguous (published there)."
    )
    own = values["details"]
    own["training"]["ptb-256"]["settings"] = {**published, "lsh_causality": "published"}
    own["texts"]["windows"]["ptb-256"]["policy"] = "published"
    assert side_by_side(load_published(), values, study).notes[-1] == (
        "What the study says of its training holds of `ptb-256`, too."
    )


def test_side_by_side_waits_for_a_run_that_is_not_computed_yet() -> None:
    study = {"mine": Run(corpus="ptb", model=MODEL, sequence_length=256)}
    table = side_by_side(load_published(), metrics_of({}), study)
    assert table.rows == []
    assert "ptb 256" in table.notes[0]


def test_side_by_side_takes_no_other_run_for_a_published_one() -> None:
    study = runs(("news", "wiki"), (256, 2048))
    assert side_by_side(load_published(), metrics_of(study), study).rows == []
