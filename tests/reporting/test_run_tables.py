"""The tables of runs: their numbers, and the marks that some of them have."""

from typing import Any

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reporting.run_tables import headline, quality_tables, training_tables
from reformer_seqlen.reporting.table import Table
from tests.metrics_example import metrics_of
from tests.report_example import one_run, runs

NEWS = runs(("news",), (256, 1024))


def _tables(values: dict[str, Any], study: dict[str, Run]) -> dict[str, Table]:
    return {t.name: t for t in (*quality_tables(values, study), *training_tables(values, study))}


def test_the_headline_shows_the_cost_beside_the_quality() -> None:
    study = runs(("news", "wiki"), (256, 1024))
    values = metrics_of(study)
    values["details"]["training"]["wiki-256"]["updates"] = 1300
    values["measured"]["timings"]["finetune"]["wiki-1024"]["tokens_per_second"] = 50000.0
    table = headline(values, study)
    assert table.markdown() == (
        "| seq len   |          news |          wiki |        updates |   tokens a second |\n"
        "|:----------|--------------:|--------------:|---------------:|------------------:|\n"
        "| 256       | 1.500 / 1.625 | 1.500 / 1.625 | 1,200 to 1,300 |            41,234 |\n"
        "| 1024      | 1.500 / 1.625 | 1.500 / 1.625 |          1,200 |  41,234 to 50,000 |\n"
        "\n"
        "Measured on Imaginary CPU, 2 threads, torch 2.13.0."
    )


def test_perplexity_ends_with_what_needs_no_context() -> None:
    assert _tables(metrics_of(NEWS), NEWS)["perplexity"].rows == [
        ["256", "10.00 / 11.00"],
        ["1024", "11.00 / 12.00"],
        ["unigram", "90.00 / 90.00"],
    ]


def test_unigram_shows_a_range_where_runs_were_scored_on_different_text() -> None:
    values = metrics_of(NEWS)
    values["details"]["scores"]["news-1024"]["validation"]["unigram_perplexity"] = 89.5
    last = _tables(values, NEWS)["perplexity"].rows[-1]
    assert last == ["unigram", "89.50 to 90.00 / 90.00"]


def test_unigram_leaves_the_column_of_models_free() -> None:
    study = {
        "a": Run(corpus="news", model="small", sequence_length=256),
        "b": Run(corpus="news", model="large", sequence_length=256),
    }
    last = _tables(metrics_of(study), study)["perplexity"].rows[-1]
    assert last == ["unigram", "", "90.00 / 90.00"]


def test_each_way_of_cutting_a_text_has_its_own_unigram() -> None:
    study = {
        name: Run(corpus="news", model=name, sequence_length=256)
        for name in ("small", "large", "other")
    }
    values = metrics_of(study)
    for score in values["details"]["scores"]["other"].values():
        score["unigram_perplexity"] = 600.0
    assert _tables(values, study)["perplexity"].rows[-2:] == [
        ["unigram (small, large)", "", "90.00 / 90.00"],
        ["unigram (other)", "", "600.00 / 600.00"],
    ]


def test_a_diverged_run_is_marked_and_the_mark_explained() -> None:
    values = metrics_of(NEWS)
    assert _tables(values, NEWS)["perplexity"].notes == []
    values["details"]["training"]["news-1024"]["diverged"] = True
    table = _tables(values, NEWS)["perplexity"]
    assert [row[1] for row in table.rows] == ["10.00 / 11.00", "11.00 / 12.00 †", "90.00 / 90.00"]
    assert table.notes[0].startswith("† This run diverged")


def test_a_score_that_is_no_number_says_so() -> None:
    values = metrics_of(NEWS)
    values["validation"]["news-256"] = {}
    assert _tables(values, NEWS)["perplexity"].rows[0] == ["256", "no number / 11.00"]
    assert headline(values, NEWS).rows[0][1] == "no number / 1.625"


def test_runs_that_are_not_computed_yet_say_so_everywhere() -> None:
    values = metrics_of(runs(("news",), (256,)))
    tables = [headline(values, NEWS), *_tables(values, NEWS).values()]
    shown = {table.name: table.rows[1][1] for table in tables}
    assert set(shown) == {"headline", "perplexity", "peeking", "training", "speed"}
    assert set(shown.values()) == {"not computed yet"}
    wiki = runs(("wiki",), (256,))
    last = _tables(values, wiki)["perplexity"].rows[-1]
    assert last == ["unigram", "not computed yet"]


def test_what_peeking_is_worth() -> None:
    study = runs(("news",), (256,))
    values = metrics_of(study)
    score = values["details"]["scores"]["news-256"]["test"]
    assert _tables(values, study)["peeking"].rows == [["256", "11.00 → 10.00 (-9.09 ± 0.20 %)"]]
    score["perplexity_published_lsh"] = 10.9999
    assert _tables(values, study)["peeking"].rows == [["256", "11.00 → 11.00 (+0.00 ± 0.20 %)"]]
    score |= {"perplexity_published_lsh": 10.995, "perplexity_published_lsh_spread": 0.0002}
    assert _tables(values, study)["peeking"].rows == [["256", "11.00 → 10.99 (-0.05 ± 0.00 %)"]]
    score |= {"hash_draws": 1, "perplexity_published_lsh_spread": None}
    table = _tables(values, study)["peeking"]
    assert table.rows == [["256", "11.00 → 10.99 (-0.05 %)"]]
    assert table.notes[0].endswith("there was one draw, whose uncertainty is not known.")
    score["perplexity_published_lsh"] = None
    assert _tables(values, study)["peeking"].rows == []


def test_draws_are_those_of_the_runs_that_can_peek() -> None:
    study = {**runs(("news",), (256,)), "gpt2-256": one_run(model="gpt2")}
    values = metrics_of(study)
    scores = values["details"]["scores"]
    scores["news-256"]["test"]["hash_draws"] = 2
    scores["gpt2-256"]["test"] |= {"hash_draws": 1, "perplexity_published_lsh": None}
    assert _tables(values, study)["peeking"].notes == [
        "± is half of the range over the hash draws (2 of each run); in each draw, both rules hash "
        "alike."
    ]


def test_a_model_that_is_not_scored_under_the_published_rule_has_no_row_of_it() -> None:
    values = metrics_of(NEWS)
    values["details"]["scores"]["news-1024"]["test"]["perplexity_published_lsh"] = None
    assert [row[0] for row in _tables(values, NEWS)["peeking"].rows] == ["256"]


def test_training_counts_updates_and_tokens() -> None:
    study = runs(("news",), (256,))
    table = _tables(metrics_of(study), study)["training"]
    assert dict(zip(table.headers, table.rows[0], strict=True)) == {
        "run": "news-256",
        "updates": "1,200",
        "epochs": "3",
        "tokens seen": "4,915,200",
        "hash buckets": "16",
        "final training loss": "2.000",
        "final validation loss": "2.250",
        "best validation loss": "2.125",
        "parameters": "2,600,000",
        "position parameters": "100,000",
    }


def test_speed_is_one_table_and_says_on_which_machine() -> None:
    study = runs(("news",), (256,))
    table = _tables(metrics_of(study), study)["speed"]
    assert table.rows == [["256", "41,234 (1:11:32.24)"]]
    assert table.notes == ["Measured on Imaginary CPU, 2 threads, torch 2.13.0."]
