"""How much of the published gap is what: which runs are compared, and what each step adds."""

from typing import Any

import numpy as np
import pytest

from reformer_seqlen.reporting.answer import answer
from reformer_seqlen.reporting.gap import DROPPED, EPOCHS, EPOCHS_AND_DROPPED, FAIR, SCORING, gaps
from reformer_seqlen.reporting.gap_tables import gap_table
from reformer_seqlen.reporting.points import points
from reformer_seqlen.reporting.records import Scores, Windows
from tests.gap_example import EQUAL_EPOCHS, GAP_STUDY, PUBLISHED, gap_results, sums
from tests.metrics_example import metrics_of, windows
from tests.plots_example import results, score
from tests.report_example import one_run, runs


def _gap(known: dict[str, Any], way: str, what: str = "gap") -> Any:
    return pytest.approx(known[way][what])


def test_each_way_adds_one_thing_to_the_way_before_it() -> None:
    known = gaps(points(GAP_STUDY), GAP_STUDY, gap_results(GAP_STUDY))["news"]
    assert list(known) == [FAIR, EPOCHS, DROPPED, SCORING]
    assert _gap(known, FAIR) == {"bits_per_byte": 0.1, "low": 0.1, "high": 0.1}
    assert _gap(known, EPOCHS) == {"bits_per_byte": 0.4, "low": 0.4, "high": 0.4}
    assert _gap(known, EPOCHS, "added") == {"bits_per_byte": 0.3, "low": 0.3, "high": 0.3}
    assert _gap(known, DROPPED, "added") == {"bits_per_byte": 0.1, "low": 0.1, "high": 0.1}
    assert _gap(known, SCORING) == {"bits_per_byte": 0.6}  # of other targets at each length
    assert _gap(known, SCORING, "added") == {"bits_per_byte": 0.1}
    assert known[EPOCHS]["shortest"]["run"] == "e-128"
    assert known[SCORING]["longest"]["run"] == "p-2048"
    assert known[SCORING]["longest"]["sequence_length"] == 2048
    assert known[SCORING]["longest"]["bits_per_byte"] == pytest.approx(2.65)


def test_a_score_without_its_blocks_has_no_interval_in_a_difference() -> None:
    known = gaps(points(GAP_STUDY), GAP_STUDY, gap_results(GAP_STUDY, protocol_blocks={}))["news"]
    assert _gap(known, DROPPED) == {"bits_per_byte": 0.5}
    assert _gap(known, DROPPED, "added") == {"bits_per_byte": 0.1}
    assert known[DROPPED]["longest"]["high"] == 2.5


def test_an_interval_is_of_the_same_draws_for_all_scores() -> None:
    random = np.random.default_rng(0)
    text = random.normal(2.0, 0.5, 40)  # nats a byte, in which blocks differ much
    steps = {"news-128": 0.0, "news-2048": 0.1, "e-128": 0.0, "e-2048": 0.4}
    found = gap_results(GAP_STUDY)
    for name, more in steps.items():
        nats = (text + more * np.log(2)) * 500
        found.blocks[name]["test"] = np.stack([nats, np.full(40, 500.0)], axis=1)
    known = gaps(points(GAP_STUDY), GAP_STUDY, found)["news"]
    assert known[FAIR]["longest"]["high"] - known[FAIR]["longest"]["low"] > 0.3
    assert _gap(known, EPOCHS, "added") == {"bits_per_byte": 0.3, "low": 0.3, "high": 0.3}


def test_seeds_are_averaged() -> None:
    study = {**GAP_STUDY, "e43": one_run(2048, train={**EQUAL_EPOCHS, "seed": 43})}
    found = gap_results(GAP_STUDY)
    found.windows["e43"] = found.windows["e-2048"]
    found.scores["e43"] = Scores(validation=score(2.0), test=score(2.2))
    found.blocks["e43"] = {"test": sums(2.2)}
    known = gaps(points(study), study, found)["news"]
    assert known[EPOCHS]["longest"]["bits_per_byte"] == pytest.approx(2.3)
    assert _gap(known, EPOCHS) == {"bits_per_byte": 0.3, "low": 0.3, "high": 0.3}


@pytest.mark.parametrize(
    ("without", "ways"),
    [
        (("e-128", "e-2048"), [FAIR, EPOCHS_AND_DROPPED, SCORING]),
        (("p-128", "p-2048"), [FAIR, EPOCHS]),
        (("e-128", "e-2048", "p-2048"), []),
        (("news-128", "news-512"), []),
        (("e-128", "e-2048", "p-128", "p-2048"), []),
        (("news-128", "news-512", "news-2048"), []),
        (("news-128", "news-512", "news-2048", "p-128", "p-2048"), []),
        (("news-128", "news-512", "news-2048", "e-128", "e-2048"), []),
    ],
)
def test_a_study_has_the_ways_that_it_has_runs_for(
    without: tuple[str, ...], ways: list[str]
) -> None:
    study = {name: run for name, run in GAP_STUDY.items() if name not in without}
    assert list(gaps(points(study), study, gap_results(study)).get("news", {})) == ways


def test_dropped_text_alone_is_named_alone() -> None:
    study = {
        **runs(("news",), (128, 2048)),
        **{f"p-{n}": one_run(n, chunk=PUBLISHED) for n in (128, 2048)},
    }
    found = gap_results(GAP_STUDY)
    assert list(gaps(points(study), study, found)["news"]) == [FAIR, DROPPED, SCORING]


def test_what_is_trained_otherwise_in_another_way_is_none_of_them() -> None:
    plain = runs(("news",), (128, 2048))
    rates = {f"news-512-{n}": one_run(n, train={"learning_rate": 1e-3}) for n in (128, 2048)}
    study = {**plain, **rates}
    found = results(
        scores=dict.fromkeys(study, Scores(validation=score(2.0), test=score(2.0))),
        blocks={name: {"test": sums(2.0)} for name in study},
        windows=dict.fromkeys(study, Windows.model_validate(windows())),
    )
    assert gaps(points(study), study, found) == {}


def test_it_is_a_table_and_a_sentence() -> None:
    values = metrics_of(GAP_STUDY)
    assert gap_table(values).rows == []
    values["details"]["gap"] = gaps(points(GAP_STUDY), GAP_STUDY, gap_results(GAP_STUDY))
    assert gap_table(values).rows[1:] == [
        ["news", EPOCHS, "128 → 2,048", "2.000 ± 0.000", "2.400 ± 0.000",
         "+0.400 ± 0.000", "+0.300 ± 0.000"],
        ["news", DROPPED, "128 → 2,048", "2.000 ± 0.000", "2.500 ± 0.000",
         "+0.500 ± 0.000", "+0.100 ± 0.000"],
        ["news", SCORING, "128 → 2,048", "2.050 ± 0.000", "2.650 ± 0.000", "+0.600", "+0.100"],
    ]  # fmt: skip
    assert gap_table(values).rows[0][-1] == ""
    assert answer(values, GAP_STUDY)[-1] == (
        "Trained and scored as published, news has a gap of +0.600 bits per byte between 128 and "
        "2,048 tokens instead of +0.100 ± 0.000: +0.300 ± 0.000 by equal epochs and batch size, "
        "+0.100 ± 0.000 by dropped training text and +0.100 by published scoring."
    )
    del values["details"]["gap"]["news"][SCORING]  # what is left is not the published way
    assert not any("as published" in sentence for sentence in answer(values, GAP_STUDY))
