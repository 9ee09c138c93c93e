"""Which runs can be told apart."""

import numpy as np
import pytest

from reformer_seqlen.reporting.differences import (
    above,
    differences,
    from_counts,
    neighbour,
    pairs,
    told_apart,
)
from reformer_seqlen.reporting.points import points
from reformer_seqlen.reporting.run_tables import headline
from tests.metrics_example import metrics_of
from tests.report_example import blocks, runs

RUNS = runs(("news",), (256, 1024, 4096))
SPLITS = ("validation", "test")


def test_longer_runs_are_held_against_shorter_ones_of_their_corpus() -> None:
    both = points({**runs(("wiki",), (1024, 256)), **runs(("news",), (256,))})
    assert [(one.name, other.name) for one, other in pairs(both)] == [("wiki-256", "wiki-1024")]
    assert neighbour(RUNS, "news-4096") == "news-1024"
    assert neighbour(RUNS, "news-256") is None


def test_a_difference_on_the_same_text_has_an_interval() -> None:
    found = differences(
        {n: dict.fromkeys(SPLITS, blocks(r.sequence_length)) for n, r in RUNS.items()},
        points(RUNS),
    )
    assert list(found) == ["news-1024", "news-4096"]
    assert list(found["news-4096"]) == ["news-256", "news-1024"]
    interval = found["news-1024"]["news-256"]["test"]
    expected = 768 / 10_000 / np.log(2)
    assert interval == pytest.approx({"bits_per_byte": expected, "low": expected, "high": expected})
    assert told_apart(found, "news-1024", "news-256", "test")
    assert told_apart(found, "news-256", "news-1024", "test")
    assert told_apart(found, "news-256", "news-8192", "test") is None


def test_a_run_is_held_against_the_counts_of_its_corpus() -> None:
    study = runs(("news", "wiki"), (256,))
    of_runs = {name: dict.fromkeys(SPLITS, blocks(256)) for name in study}
    of_counts = {
        "news-3gram": dict.fromkeys(SPLITS, blocks(1024)),
        "news-5gram": dict.fromkeys(SPLITS, np.ones((3, 2))),  # of another tokenizer's pieces
    }
    found = from_counts(of_runs, study, of_counts, dict.fromkeys(of_counts, "news"))
    assert list(found) == ["news-256"]
    assert list(found["news-256"]) == ["news-3gram"]
    assert told_apart(found, "news-256", "news-3gram", "test")
    assert found["news-256"]["news-3gram"]["test"]["bits_per_byte"] < 0


def test_a_difference_may_be_turned_round() -> None:
    interval = {"bits_per_byte": 0.02, "low": -0.01, "high": 0.05}
    known = {"long": {"short": {"test": interval}}}
    assert above(known, "long", "short", "test") == interval
    assert above(known, "short", "long", "test") == {
        "bits_per_byte": -0.02, "low": -0.05, "high": 0.01,
    }  # fmt: skip
    assert above(known, "short", "long", "validation") is None


def test_texts_that_are_not_the_same_are_not_compared() -> None:
    two = points(runs(("news",)))
    others = {"news-256": dict.fromkeys(SPLITS, np.ones((3, 2)))}
    others["news-1024"] = dict.fromkeys(SPLITS, np.ones((4, 2)))
    assert differences(others, two) == {}
    others["news-1024"] = dict.fromkeys(
        SPLITS, np.full((3, 2), 2.0)
    )  # as many blocks of more bytes
    assert differences(others, two) == {}


@pytest.mark.parametrize("loss", [np.inf, np.nan])
def test_a_score_that_is_no_number_has_no_difference(loss: float) -> None:
    two = points(runs(("news",)))
    bad = np.array([[loss, 9.0], [1.0, 9.0]])
    good = np.array([[2.0, 9.0], [1.0, 9.0]])
    found = {
        "news-256": dict.fromkeys(SPLITS, good),
        "news-1024": {"validation": good, "test": bad},
    }
    assert list(differences(found, two)["news-1024"]["news-256"]) == ["validation"]


@pytest.mark.parametrize(("low", "marked"), [(-0.01, True), (0.01, False)])
def test_what_cannot_be_told_from_its_neighbour_is_marked(low: float, marked: bool) -> None:
    values = metrics_of(runs(("news",)))
    for split in SPLITS:
        for score in values[split].values():
            score |= {"low": 1.4, "high": 1.7}
    interval = {"bits_per_byte": 0.02, "low": low, "high": 0.05}
    values["details"]["differences"] = {"news-1024": {"news-256": {"test": interval}}}
    table = headline(values, runs(("news",)))
    assert table.rows[0][1] == "1.500 ± 0.150 / 1.625 ± 0.150"
    assert table.rows[1][1].endswith(" ≈") is marked
    assert any("can't be told from the next shorter" in note for note in table.notes) is marked
