"""The lines of the CSV files of scores."""

import pytest

from reformer_seqlen.reporting.records import Counted, Scores
from reformer_seqlen.reporting.score_lines import apart, score_lines
from tests.gap_example import GAP_STUDY, gap_results, sums
from tests.plots_example import results, run_results, runs, score, score_in_every_way
from tests.report_example import one_run


def test_every_file_names_its_columns_and_has_every_run() -> None:
    study = runs("tiny", corpora=("news",))
    lines = score_lines(results(**run_results(study)), study)
    place = ("news-tiny-256", "news", "tiny", 256)
    columns = ("run", "corpus", "model", "sequence_length")
    assert lines["answer"][:2] == [
        (*columns, "bits_per_byte", "low", "high", "bound", "kind", "label_at"),
        (*place, 3.0625, 3.0625, 3.0625, None, "trained", None),
    ]
    assert lines["cost"][:2] == [(*columns, "tokens_per_second"), (*place, 1256.5)]
    assert lines["contexts"][:3] == [
        (*columns, "context", "bits_per_byte", "low", "high", "bound"),
        (*place, 64, 3.5625, pytest.approx(3.4625), pytest.approx(3.6625), None),
        (*place, 256, 3.0625, 3.0625, 3.0625, None),
    ]
    assert lines["positions"][:2] == [
        (*columns, "up_to", "tokens", "nats"),
        (*place, 1, 1000, 3.75),
    ]
    assert [line[4:6] for line in lines["hash_rounds"][:3]] == [
        ("rounds", "bits_per_byte"),
        ("as trained", 3.0625),
        (2, 2.8125),
    ]
    assert {name: len(rows) - 1 for name, rows in lines.items()} == {
        "answer": 3,
        "untrained": 0,
        "cost": 3,
        "contexts": 3 * 2,
        "positions": 3 * 3,
        "hash_rounds": 3 * 2,
        "gap": 0,
    }


def test_a_score_that_is_no_number_is_an_empty_cell() -> None:
    study = {"only": runs("tiny")["news-tiny-256"]}
    found = run_results(study)
    found["scores"] = {"only": Scores(validation=score(None), test=score(None))}
    line = score_lines(results(**found), study)["answer"][1]
    assert line == ("only", "news", "tiny", 256, None, None, None, None, "trained", None)


def test_a_score_of_a_text_with_unknown_pieces_is_a_lower_bound() -> None:
    study = {"only": one_run()}
    found = run_results(study)
    found["scores"] = {"only": Scores(validation=score(2.0), test=score(2.0, unknown_rate=0.01))}
    assert score_lines(results(**found), study)["answer"][1][4:8] == (2.0, 2.0, 2.0, "lower")
    ways = Scores(validation=score(2.0), test=score_in_every_way(2.0, unknown_rate=0.01))
    found["scores"] = {"only": ways}
    lines = score_lines(results(**found), study)
    for name in ("contexts", "hash_rounds"):
        assert [line[-1] for line in lines[name]] == ["bound", "lower", "lower"]


def test_counting_is_a_level_from_the_shortest_length_to_the_longest() -> None:
    study = runs("tiny")
    counted = Counted(
        validation=score(2.5), test=score(2.0),
        corpus="news", model="tiny", order=3, text="all", tokens_counted=5,
    )  # fmt: skip
    found = results(**run_results(study), counts={"news-3gram-all": counted})
    levels = [line for line in score_lines(found, study)["answer"] if line[-2] == "counted"]
    ends = sorted(run.sequence_length for run in study.values() if run.corpus == "news")
    label = "3-gram, base text too"
    assert levels == [
        ("news-3gram-all", "news", label, length, 2.0, 2.0, 2.0, None, "counted", 2.0)
        for length in sorted({ends[0], ends[-1]})
    ]


def test_the_gap_has_both_ends_of_every_way_and_what_is_between_them() -> None:
    trained = {key: run_results(GAP_STUDY)[key] for key in ("histories", "timings")}
    lines = score_lines(gap_results(GAP_STUDY, **trained), GAP_STUDY)["gap"]
    assert lines[0] == (
        "run", "corpus", "way", "sequence_length", "quantity", "bits_per_byte", "low", "high",
        "bound",
    )  # fmt: skip
    assert [line[:5] for line in lines[1:4]] == [
        ("news-128", "news", "equal updates, equal text", 128, "score"),
        ("news-2048", "news", "equal updates, equal text", 2048, "score"),
        ("news-2048", "news", "equal updates, equal text", 2048, "gap"),
    ]
    assert lines[-1][5:] == (pytest.approx(0.6), None, None, None)
    assert len(lines) == 1 + 4 * 3


def test_labels_of_levels_stand_apart() -> None:
    levels = {"a": 2.0, "b": 2.5, "c": 2.01, "d": None, "e": 2.02}
    assert apart(levels, 0.1) == pytest.approx({"a": 2.0, "c": 2.1, "e": 2.2, "b": 2.5})


def test_the_untrained_are_in_a_file_of_their_own_and_no_level_reaches_their_lengths() -> None:
    study = {
        "base": one_run(8192, train="none"),
        **runs("tiny", corpora=("news",)),
        "wiki-base": one_run(512, corpus="wiki", train="none"),
    }
    counts = {
        name: Counted(
            validation=score(2.5), test=score(2.0),
            corpus=name, model="tiny", order=3, text="own", tokens_counted=5,
        )
        for name in ("news", "wiki")
    }  # fmt: skip
    lines = score_lines(results(**run_results(study), counts=counts), study)
    assert [line[:4] for line in lines["untrained"][1:]] == [
        ("base", "news", "tiny", 8192),
        ("wiki-base", "wiki", "tiny", 512),
    ]
    assert [(line[1], line[3], line[-2]) for line in lines["answer"][4:]] == [
        ("news", 256, "counted"),
        ("news", 4096, "counted"),
    ]


def test_a_point_of_several_seeds_is_one_line_of_their_mean() -> None:
    study = {"a": one_run(), "b": one_run(train={"seed": 43})}
    blocks = {
        name: dict.fromkeys(("validation", "test"), sums(bits))
        for name, bits in (("a", 2.0), ("b", 2.5))
    }
    (line,) = score_lines(results(**run_results(study), blocks=blocks), study)["answer"][1:]
    assert line[:4] == ("a", "news", "tiny", 256)
    assert line[4:7] == pytest.approx((2.25, 2.25, 2.25))
