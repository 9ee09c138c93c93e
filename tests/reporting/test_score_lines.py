"""The lines of the CSV files of scores."""

import pytest

from reformer_seqlen.reporting.records import Counted, Scores
from reformer_seqlen.reporting.score_lines import score_lines
from tests.gap_example import GAP_STUDY, gap_results
from tests.plots_example import results, run_results, runs, score


def test_every_file_names_its_columns_and_has_every_run() -> None:
    study = runs("tiny", corpora=("news",))
    lines = score_lines(results(**run_results(study)), study)
    place = ("news-tiny-256", "news", "tiny", 256)
    columns = ("run", "corpus", "model", "sequence_length")
    assert lines["answer"][:2] == [
        (*columns, "bits_per_byte", "low", "high", "kind"),
        (*place, 3.0625, 3.0625, 3.0625, "trained"),
    ]
    assert lines["cost"][:2] == [(*columns, "tokens_per_second"), (*place, 1256.5)]
    points = {name: len(rows) - 1 for name, rows in lines.items()}
    assert {name: count for name, count in points.items() if count} == {"answer": 3, "cost": 3}


def test_a_score_that_is_no_number_is_an_empty_cell() -> None:
    study = {"only": runs("tiny")["news-tiny-256"]}
    found = run_results(study)
    found["scores"] = {"only": Scores(validation=score(None), test=score(None))}
    line = score_lines(results(**found), study)["answer"][1]
    assert line == ("only", "news", "tiny", 256, None, None, None, "trained")


def test_counting_is_a_level_from_the_shortest_length_to_the_longest() -> None:
    study = runs("tiny")
    counted = Counted(
        validation=score(2.5), test=score(2.0),
        corpus="news", model="tiny", order=3, text="all", tokens_counted=5,
    )  # fmt: skip
    found = results(**run_results(study), counts={"news-3gram-all": counted})
    levels = [line for line in score_lines(found, study)["answer"] if line[-1] == "counted"]
    ends = sorted(run.sequence_length for run in study.values() if run.corpus == "news")
    label = "3-gram, base text too"
    assert levels == [
        ("news-3gram-all", "news", label, length, 2.0, 2.0, 2.0, "counted")
        for length in sorted({ends[0], ends[-1]})
    ]


def test_the_gap_has_both_ends_of_every_way_and_what_is_between_them() -> None:
    trained = {key: run_results(GAP_STUDY)[key] for key in ("histories", "timings")}
    lines = score_lines(gap_results(GAP_STUDY, **trained), GAP_STUDY)["gap"]
    assert lines[0] == (
        "run", "corpus", "way", "sequence_length", "quantity", "bits_per_byte", "low", "high",
    )  # fmt: skip
    assert [line[:5] for line in lines[1:4]] == [
        ("news-128", "news", "equal updates, equal text", 128, "score"),
        ("news-2048", "news", "equal updates, equal text", 2048, "score"),
        ("news-2048", "news", "equal updates, equal text", 2048, "gap"),
    ]
    assert lines[-1][5:] == (pytest.approx(0.6), None, None)
    assert len(lines) == 1 + 4 * 3
