"""How scores are shown: intervals, and the mark of a lower bound wherever one is shown."""

from typing import Any

import pytest

from reformer_seqlen.reporting.advice import advice
from reformer_seqlen.reporting.answer import answer
from reformer_seqlen.reporting.gap import gaps
from reformer_seqlen.reporting.gap_tables import gap_table
from reformer_seqlen.reporting.points import points
from reformer_seqlen.reporting.run_tables import headline
from reformer_seqlen.reporting.score_tables import score_tables
from reformer_seqlen.reporting.scores import BOUND_NOTE, shown_score
from tests.gap_example import GAP_STUDY, gap_results
from tests.metrics_example import metrics_of
from tests.plots_example import score
from tests.report_example import runs

NEWS = runs(("news",), (256, 1024))


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ({"bits_per_byte": 2.1034, "low": 2.08, "high": 2.12}, "2.103 ± 0.020"),
        ({"bits_per_byte": 2.1034, "low": 2.08, "high": 2.12, "bound": "lower"}, "≥ 2.103 ± 0.020"),
        ({"bits_per_byte": 2.1034, "bound": "lower"}, "≥ 2.103"),
        ({"bits_per_byte": None, "low": None, "high": None}, "no number"),
        ({}, "no number"),
    ],
)
def test_a_score_has_half_of_its_interval_and_the_mark_of_a_bound(
    known: dict[str, Any], shown: str
) -> None:
    assert shown_score(known) == shown


@pytest.mark.parametrize("bits", [2.0, None])
def test_a_number_is_a_bound_where_pieces_are_unknown(bits: float | None) -> None:
    assert score(bits).bound is None
    assert score(bits, unknown_rate=1e-6).bound == (None if bits is None else "lower")


def _values() -> dict[str, Any]:
    values = metrics_of(NEWS)
    scores = values["details"]["scores"]["news-1024"]["test"]
    other = {"bits_per_byte": 2.0, "low": 1.9, "high": 2.1, "difference": None}
    scores |= {"contexts": {"64": other}, "hash_rounds": {"2": other}, "bound": "lower"}
    for split in ("validation", "test"):
        for name in NEWS:
            values["details"]["scores"][name][split] |= {"accuracy": 0.5, "word_perplexity": 99.0}
    return values


def test_every_table_marks_a_lower_bound_and_says_what_that_is() -> None:
    values = _values()
    tables = {table.name: table for table in (headline(values, NEWS), *score_tables(values, NEWS))}
    cells = {name: table.rows[-1][1:] for name, table in tables.items()}
    assert cells["headline"][0] == "1.500 / ≥ 1.625"
    assert cells["measures"] == ["1.500 / ≥ 1.625", "50.0 % / 50.0 %", "99.00 / ≥ 99.00"]
    assert cells["contexts"] == ["≥ 2.000 ± 0.100", "≥ 1.625 (1,024)"]
    assert cells["hash-rounds"] == ["≥ 1.625", "≥ 2.000 ± 0.100"]
    assert all(BOUND_NOTE in table.notes for table in tables.values())
    assert BOUND_NOTE not in headline(metrics_of(NEWS), NEWS).notes


def test_the_answer_and_the_advice_mark_it() -> None:
    values = _values()
    assert "(1.625 → ≥ 1.625)" in answer(values, NEWS)[0]
    values["details"]["scores"]["news-256"]["test"]["bound"] = "lower"
    assert "take 256 tokens: ≥ 1.625 bits per byte" in advice(values, NEWS)[0]


def test_an_ngram_is_marked_too() -> None:
    values = metrics_of(NEWS)
    item = {"corpus": "news", "model": "tiny", "order": 3, "text": "own", "tokens_counted": 5}
    values["details"]["counts"]["news-3gram"] = {**item, "bound": {"test": "lower"}}
    for split in ("validation", "test"):
        values[split]["news-3gram"] = {"bits_per_byte": 2.0}
    assert headline(values, NEWS).rows[-1][1] == "2.000 / ≥ 2.000"


def test_the_ends_of_a_gap_are_marked() -> None:
    found = gap_results(GAP_STUDY)
    for name in ("e-128", "e-2048"):
        test = found.scores[name].test.model_copy(update={"unknown_rate": 0.1})
        found.scores[name] = found.scores[name].model_copy(update={"test": test})
    values = {"details": {"gap": gaps(points(GAP_STUDY), GAP_STUDY, found)}}
    table = gap_table(values)
    assert [row[3].startswith("≥ ") for row in table.rows] == [False, True, False, False]
    assert table.rows[1][5] == "+0.400 ± 0.000"  # a difference of bounds is none
    assert table.notes[0] == BOUND_NOTE
