"""The tables of more measures, and of the same models scored in other ways."""

from typing import Any

from reformer_seqlen.reporting.score_tables import score_tables
from reformer_seqlen.reporting.table import Table
from tests.metrics_example import metrics_of
from tests.report_example import one_run, runs

NEWS = runs(("news",), (256, 1024))


def _tables(values: dict[str, Any], study: dict[str, Any] = NEWS) -> dict[str, Table]:
    return {table.name: table for table in score_tables(values, study)}


def _known(bits: float) -> dict[str, float]:
    return {"bits_per_byte": bits, "low": bits - 0.1, "high": bits + 0.1}


def _beside(bits: float, above: float | None = None) -> dict[str, Any]:
    """A score, and that it is so much above the run's own, give or take 0.02."""
    known = {"bits_per_byte": above, "low": above - 0.02, "high": above + 0.02} if above else None
    return {**_known(bits), "difference": known}


def test_accuracy_and_word_perplexity_stand_where_they_are_known() -> None:
    values = metrics_of(NEWS)
    assert _tables(values)["measures"].rows == []
    scores = values["details"]["scores"]
    for split, accuracy in (("validation", 0.25), ("test", 0.5)):
        for name in NEWS:
            scores[name][split]["accuracy"] = accuracy
    table = _tables(values)["measures"]
    assert table.headers == ["run", "bits per byte", "accuracy"]
    assert table.rows[0] == ["news-256", "1.500 / 1.625", "25.0 % / 50.0 %"]
    assert table.intro == (
        "Validation / test. Accuracy is the share of pieces that the model finds likeliest."
    )
    scores["news-256"]["validation"]["word_perplexity"] = 200.0
    scores["news-256"]["test"]["word_perplexity"] = 250.0
    item = {"corpus": "news", "model": "tiny", "order": 3, "text": "own", "tokens_counted": 5}
    words = {"validation": 300.0, "test": 320.0}
    values["details"]["counts"]["news-3gram"] = {**item, "word_perplexity": words}
    for split in words:
        values[split]["news-3gram"] = _known(2.0)
    table = _tables(values)["measures"]
    assert [row[3] for row in table.rows] == ["200.00 / 250.00", "", "300.00 / 320.00"]
    assert table.rows[-1][:3] == ["news-3gram", "2.000 ± 0.100 / 2.000 ± 0.100", ""]


def test_seeds_are_one_row_that_says_how_many_and_how_far_apart() -> None:
    study = {**NEWS, "news-256-again": one_run(train={"seed": 43})}
    values = metrics_of(study)
    for name, accuracy in (("news-256", 0.25), ("news-256-again", 0.35)):
        for split in ("validation", "test"):
            score = values["details"]["scores"][name][split]
            score |= {"accuracy": accuracy, "word_perplexity": 1000 * accuracy}
    ends = {"lowest": 1.5, "highest": 1.75}
    splits = {split: {**_known(1.6), **ends} for split in ("validation", "test")}
    seeds = {"runs": ["news-256", "news-256-again"], **splits}
    values["details"]["seeds"] = {"news-256": seeds}
    table = _tables(values, study)["measures"]
    assert table.headers == ["run", "bits per byte", "accuracy", "word perplexity", "seeds"]
    score = "1.600 ± 0.100 / 1.600 ± 0.100"
    words = "295.80"  # the geometric mean of 250 and 350
    assert table.rows[0] == [
        "news-256", score, "30.0 % / 30.0 %", f"{words} / {words}", "2: 1.500 to 1.750",
    ]  # fmt: skip
    assert [row[0] for row in table.rows] == ["news-256", "news-1024"]


def test_shorter_windows_stand_before_the_models_own_length() -> None:
    values = metrics_of(NEWS)
    assert _tables(values)["contexts"].rows == []
    scores = values["details"]["scores"]
    scores["news-1024"]["test"]["contexts"] = {"512": _beside(2, -0.01), "64": _beside(2.25, 0.3)}
    scores["news-256"]["test"]["contexts"] = {"64": _beside(2.5)}
    table = _tables(values)["contexts"]
    assert table.headers == ["run", "64", "512", "its own length"]
    assert table.rows == [
        ["news-256", "2.500 ± 0.100", "", "1.625 (256)"],
        [
            *("news-1024", "2.250 ± 0.100 (+0.300 ± 0.020)", "2.000 ± 0.100 (-0.010 ± 0.020 ≈)"),
            "1.625 (1,024)",
        ],
    ]
    assert table.notes == [
        "≈ Can't be told from the run's own score: the interval of the difference holds 0."
    ]


def test_hash_rounds_stand_beside_what_the_model_was_trained_with() -> None:
    values = metrics_of(NEWS)
    assert _tables(values)["hash-rounds"].rows == []
    none = dict.fromkeys(("bits_per_byte", "low", "high"))
    rounds = {"4": {**none, "difference": None}, "2": _beside(1.5, -0.125)}
    values["details"]["scores"]["news-1024"]["test"]["hash_rounds"] = rounds
    table = _tables(values)["hash-rounds"]
    assert table.headers == ["run", "as trained", "2", "4"]
    assert table.rows == [["news-1024", "1.625", "1.500 ± 0.100 (-0.125 ± 0.020)", "no number"]]
