"""What counting scored stands in the tables of the runs."""

from typing import Any

from reformer_seqlen.reporting.answer import answer
from reformer_seqlen.reporting.run_tables import headline, quality_tables
from tests.metrics_example import metrics_of
from tests.report_example import one_run, runs


def _known(
    values: dict[str, Any],
    run: str,
    count: str,
    validation: tuple[float, float],
    test: tuple[float, float],
) -> None:
    """The intervals by how much a run is above an n-gram."""
    values["details"]["differences"].setdefault(run, {})[count] = {
        split: {"bits_per_byte": low, "low": low, "high": high}
        for split, (low, high) in (("validation", validation), ("test", test))
    }


def test_a_count_is_a_row_of_the_tables_of_quality() -> None:
    study = runs()
    values = metrics_of(study)
    item = {"model": "tiny", "order": 5, "text": "own", "tokens_counted": 1000}
    values["details"]["counts"] = {
        "news-5gram": {"corpus": "news", **item},
        "wiki-5gram": {"corpus": "wiki", **item},
        "wiki-1gram-all": {"corpus": "wiki", **item, "order": 1, "text": "all"},
    }
    for split in ("validation", "test"):
        for name in values["details"]["counts"]:
            score = {"bits_per_byte": 2.0, "low": 1.9, "high": 2.1, "perplexity": 20.0}
            values[split][name] = score
    shown = "2.000 ± 0.100 / 2.000 ± 0.100"
    table = headline(values, study)
    assert table.rows[-2:] == [
        ["5-gram", shown, shown, "", ""],
        ["unigram, base text too", "", shown, "", ""],
    ]
    assert {len(row) for row in table.rows} == {len(table.headers)}
    perplexity = quality_tables(values, study)[0]
    assert perplexity.rows[-3:-1] == [
        ["5-gram", "20.00 / 20.00", "20.00 / 20.00"],
        ["unigram, base text too", "", "20.00 / 20.00"],
    ]


def _count(
    values: dict[str, Any], corpus: str, order: int, bits: tuple[float, float], text: str = "own"
) -> None:
    """Add n-grams of a corpus that take so many bits on validation and test."""
    name = f"{corpus}-{order}gram{'' if text == 'own' else '-all'}"
    item = {"corpus": corpus, "model": "tiny", "order": order, "text": text}
    values["details"]["counts"][name] = {**item, "tokens_counted": 1000}
    for split, value in zip(("validation", "test"), bits, strict=True):
        values[split][name] = {"bits_per_byte": value}


def test_runs_that_are_trained_otherwise_are_said_not_to_be_counted() -> None:
    study = {**runs(("news",)), "epochs": one_run(train={"epochs": 3, "batch_size": 4})}
    values = metrics_of(study)
    _count(values, "news", 3, (1.6, 1.6))
    assert answer(values, study)[-1].endswith(
        "of their corpus's training text, on validation and test; 1 that is trained otherwise is "
        "not counted."
    )


def test_runs_that_are_not_trained_are_said_not_to_be_meant() -> None:
    study = {**runs(("news",)), "base": one_run(model="base", train="none")}
    values = metrics_of(study)
    _count(values, "news", 3, (1.6, 1.6))
    assert answer(values, study)[-1].startswith("0 of 2 runs trained here beat the 3-gram of")


def test_counting_of_all_text_alone_says_of_which_text() -> None:
    values = metrics_of(runs(("news",)))
    _count(values, "news", 3, (1.6, 1.6), text="all")
    assert answer(values, runs(("news",)))[-1] == (
        "0 of 2 runs beat the 3-gram of their corpus's training text and the base's text, on "
        "validation and test."
    )


def test_the_answer_says_how_many_runs_beat_counting_on_both_splits() -> None:
    study = runs()
    values = metrics_of(study)
    assert not any("-gram" in sentence for sentence in answer(values, study))
    for corpus, order, validation, test in (
        ("news", 3, 1.6, 1.7),  # above the runs' 1.5 and 1.625
        ("wiki", 3, 1.6, 1.6),  # on one split alone
        ("news", 5, 1.4, 1.4),
    ):
        _count(values, corpus, order, (validation, test))
    assert answer(values, study)[-1] == (
        "2 of 4 runs beat the 3-gram and 0 of 2 the 5-gram of their corpus's training text, on "
        "validation and test."
    )
    _known(values, "news-256", "news-3gram", (-0.2, -0.02), (-0.2, 0.01))
    assert answer(values, study)[-1].startswith("2 of 4 runs beat the 3-gram and")  # one unknown
    _known(values, "news-1024", "news-3gram", (-0.2, -0.02), (-0.1, -0.01))
    assert answer(values, study)[-1].startswith(
        "2 of 4 runs beat the 3-gram (1 by more than its uncertainty) and 0 of 2 the 5-gram of"
    )
    _known(values, "news-256", "news-3gram", (-0.2, -0.02), (-0.2, -0.01))
    assert answer(values, study)[-1].startswith("2 of 4 runs beat the 3-gram and 0 of 2")
    _known(values, "news-256", "news-3gram", (-0.2, 0.02), (-0.2, -0.01))
    values["test"]["news-1024"]["bits_per_byte"] = 1.8
    assert answer(values, study)[-1].startswith(
        "1 of 4 runs beat the 3-gram (`news-256`; 0 by more than their uncertainty) and 0 of"
    )
    values["details"]["differences"] = {}
    assert answer(values, study)[-1].startswith("1 of 4 runs beat the 3-gram (`news-256`) and 0 of")
    _count(values, "news", 5, (1.2, 1.2), text="all")
    assert answer(values, study)[-1].endswith(
        "0 of 2 the 5-gram of their corpus's training text, 0 of 2 the 5-gram of that and the "
        "base's text, on validation and test."
    )
