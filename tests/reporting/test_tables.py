"""The tables: layout, numbers, marks, and what they do with grids of any shape."""

from typing import Any

import pytest

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reporting.published import (
    load_published,
    published_tables,
    seconds,
    side_by_side,
)
from reformer_seqlen.reporting.table import Table, clock, number
from reformer_seqlen.reporting.tables import grid, result_tables
from tests.report_example import runs


def _quality(perplexity: float, *, diverged: bool = False) -> dict[str, Any]:
    return {
        "validation_perplexity": perplexity,
        "test_perplexity": perplexity + 1,
        "unigram_perplexity": 90.0,
        "test_unigram_perplexity": 91.0,
        "validation_bits_per_byte": 1.5,
        "test_bits_per_byte": 1.625,
        "test_perplexity_published_lsh": perplexity,
        "test_perplexity_published_lsh_spread": 0.044,
        "unknown_rate": 0.0403,
        "test_unknown_rate": 0.041,
        "diverged": diverged,
    }


def _metrics(study: dict[str, Run]) -> dict[str, Any]:
    training = {
        "updates": 1200,
        "epochs": 3,
        "tokens_seen": 4_915_200,
        "parameters": 2_600_000,
        "position_parameters": 100_000,
        "hash_buckets": 16,
        "final_training_loss": 2.0,
        "final_validation_loss": 2.25,
        "best_validation_loss": 2.125,
    }
    timing = {
        "runtime_seconds": 4292.244,
        "steps_per_second": 10.123,
        "samples_per_second": 161.04,
        "tokens_per_second": 41234.5,
    }
    split = {
        "tokens": 1000,
        "contiguous": {"windows": 3, "kept": 998, "dropped": 2},
        "published": {"windows": 3, "kept": 768, "dropped": 232},
    }
    windows = {"policy": "contiguous", "train": split, "validation": split, "test": split}
    return {
        "quality": {name: _quality(10 + i) for i, name in enumerate(study)},
        "training": dict.fromkeys(study, training),
        "timings": dict.fromkeys(study, timing),
        "machine": {"processor": "Imaginary CPU", "threads": "2", "torch": "2.13.0"},
        "memory": {},
        "memory_cards": {},
        "memory_training": {},
        "models": {},
        "data": {"windows": dict.fromkeys(study, windows), "corpora": {}},
    }


def _table(name: str, metrics: dict[str, Any], study: dict[str, Run]) -> Table:
    return next(table for table in result_tables(metrics, study) if table.name == name)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(4292.24, "1:11:32.24"), (0, "0:00:00.00"), (59.999, "0:01:00.00"), (36000.5, "10:00:00.50")],
)
def test_runtime_is_shown_as_the_study_shows_it(value: float, shown: str) -> None:
    assert clock(value) == shown
    assert seconds(shown) == pytest.approx(value, abs=0.005)


def test_numbers() -> None:
    assert number(1234.567) == "1,234.57"
    assert number(1234.5, 0) == "1,234"
    assert number(None) == ""


def test_perplexity_has_lengths_down_and_corpora_across() -> None:
    study = runs(("news", "wiki"), (256, 1024))
    assert _table("perplexity", _metrics(study), study).markdown() == (
        "| seq len   |   news |   wiki |\n"
        "|:----------|-------:|-------:|\n"
        "| 256       |  10.00 |  12.00 |\n"
        "| 1024      |  11.00 |  13.00 |\n"
        "| unigram   |  90.00 |  90.00 |"
    )


def test_a_diverged_run_is_marked_and_the_mark_explained() -> None:
    study = runs(("news",), (256, 1024))
    metrics = _metrics(study)
    metrics["quality"]["news-1024"]["diverged"] = True
    table = _table("perplexity", metrics, study)
    assert [row[1] for row in table.rows] == ["10.00", "11.00 †", "90.00"]
    assert table.notes[0].startswith("† This run diverged")
    assert _table("perplexity", _metrics(study), study).notes == []


def test_a_score_that_is_no_number_says_so() -> None:
    study = runs(("news",), (256,))
    metrics = _metrics(study)
    metrics["quality"]["news-256"]["validation_perplexity"] = None
    assert _table("perplexity", metrics, study).rows[0] == ["256", "no number"]


def test_a_length_that_a_corpus_lacks_leaves_a_blank() -> None:
    study = {**runs(("news",), (256,)), **runs(("wiki",), (1024,))}
    assert grid("x", "X", study, lambda name: name).rows == [
        ["256", "news-256", ""],
        ["1024", "", "wiki-1024"],
    ]


def test_several_models_get_a_column() -> None:
    study = {
        "a": Run(corpus="news", model="small", sequence_length=256),
        "b": Run(corpus="news", model="large", sequence_length=256),
    }
    table = grid("x", "X", study, lambda name: name)
    assert table.headers == ["model", "seq len", "news"]
    assert table.rows == [["small", "256", "a"], ["large", "256", "b"]]
    assert _table("perplexity", _metrics(study), study).rows[-1] == ["unigram", "", "90.00"]


def test_several_runs_in_one_cell_are_told_apart_by_name() -> None:
    study = {name: Run(corpus="news", model="m", sequence_length=256) for name in ("a", "b")}
    assert grid("x", "X", study, lambda name: "1").rows == [["256", "1 (a); 1 (b)"]]


def test_unigram_shows_a_range_where_runs_were_scored_on_different_text() -> None:
    study = runs(("news",), (256, 1024))
    metrics = _metrics(study)
    metrics["quality"]["news-1024"]["unigram_perplexity"] = 89.5
    assert _table("perplexity", metrics, study).rows[-1] == ["unigram", "89.50 to 90.00"]


def test_what_peeking_is_worth() -> None:
    study = runs(("news",), (256,))
    metrics = _metrics(study)
    assert _table("peeking", metrics, study).rows == [["256", "11.00 → 10.00 (-9.1 ± 0.2 %)"]]
    metrics["quality"]["news-256"]["test_perplexity_published_lsh"] = 10.9999
    assert _table("peeking", metrics, study).rows == [["256", "11.00 → 11.00 (+0.0 ± 0.2 %)"]]
    metrics["quality"]["news-256"]["test_perplexity_published_lsh"] = None
    table = _table("peeking", metrics, study)
    assert (table.rows, table.markdown()) == ([], "No run was scored under both rules.")


def test_speeds_say_on_which_machine() -> None:
    study = runs(("news",), (256,))
    metrics = _metrics(study)
    shown = {name: _table(name, metrics, study) for name in ("runtime", "speed", "samples")}
    assert shown["runtime"].rows == [["256", "1:11:32.24"]]
    assert shown["runtime"].notes == ["Measured on Imaginary CPU, 2 threads, torch 2.13.0."]
    assert shown["speed"].rows == [["256", "10.12"]]
    assert shown["samples"].rows == [["256", "161.0"]]


def test_kept_and_dropped_under_each_policy() -> None:
    study = runs(("news",), (256,))
    row = _table("kept", _metrics(study), study).rows[0]
    assert row == ["news-256", "contiguous", "1,000", *["99.8 % (-2)"] * 3, *["76.8 % (-232)"] * 3]


def test_model_cards_say_where_the_weights_are_from() -> None:
    counts = {"total": 2_600_000, "position_table": 100_000, "without_positions": 2_500_000}
    shape = {"layers": ["local", "lsh"], "hidden_size": 256, "num_attention_heads": 2}
    card = {"parameters": counts, **shape, "vocabulary": 320, "pretraining": None}
    study = runs(("news",), (256,))
    metrics = _metrics(study)
    learnt = {"tokens_seen": 1_000_000, "validation_loss": 2.5}
    metrics["models"] = {
        "made": {**card, "pretraining": learnt, "checkpoint": None},
        "fetched": {**card, "checkpoint": {"what": "a/b on the hub", "revision": "abc"}},
    }
    made, fetched = _table("models", metrics, study).rows
    assert made[2] == "made here: 1,000,000 tokens, validation loss 2.50 nats"
    assert fetched[2] == "a/b on the hub, revision abc"
    assert made[3:] == ["256", "2", "320", "2,600,000", "100,000", "2,500,000"]


def test_a_cell_cannot_break_the_markdown() -> None:
    table = Table("x", "X", ["a"], [["one|two\nthree"]])
    assert table.markdown().splitlines()[-1] == "| one\\|two three |"
    assert table.text().startswith("X\n")


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


def test_pieces_are_shown_once_for_a_corpus_and_a_model() -> None:
    study = runs(("news", "wiki"), (256, 2048))
    metrics = _metrics(study)
    whole = {split: {"bytes": 1840, "documents": 1} for split in ("train", "validation", "test")}
    metrics["data"]["corpora"] = {"news": {"licence": "free", "splits": whole}}
    [table] = [each for each in result_tables(metrics, study) if each.name == "pieces"]
    assert table.rows == [
        ["news", "tiny", "1,000", "1,000", "1,000", "1.840", "4.03 % / 4.10 %"],
        ["wiki", "tiny", "1,000", "1,000", "1,000", "", "4.03 % / 4.10 %"],
    ]


def test_side_by_side_finds_the_published_cell_of_a_run_and_names_the_others() -> None:
    model = "reformer-crime-and-punishment"
    study = {"mine": Run(corpus="ptb", model=model, sequence_length=256)}
    metrics = _metrics(study)
    table = side_by_side(load_published(), metrics, study)
    assert [row[:3] for row in table.rows] == [["ptb", "mine", "256"]] * 5
    assert [row[3:] for row in table.rows] == [
        ["perplexity", "13.29", "10.00", "0.752"],
        ["runtime", "0:29:33.46", "1:11:32.24", "2.420"],
        ["steps/s", "~ 10.1", "10.1", "1.002"],
        ["samples/s", "~ 161", "161.0", "1.000"],
        ["updates", "~ 17,845", "1,200", "0.067"],
    ]
    assert table.notes[0].startswith("No run yet for the published cells wt2 256, ")
    assert "ptb 2048" in table.notes[0]
    assert "ptb 256" not in table.notes[0]


def test_side_by_side_shows_what_was_published_of_a_cell_alone() -> None:
    study = {"a": Run(corpus="enwik8", model="reformer-crime-and-punishment", sequence_length=512)}
    metrics = _metrics(study)
    metrics["quality"]["a"]["validation_perplexity"] = None  # no number, as of a loss that is none
    table = side_by_side(load_published(), metrics, study)
    assert [row[3:] for row in table.rows] == [
        ["perplexity", "67.08", "", ""],
        ["runtime", "7:05:43.91", "1:11:32.24", "0.168"],
    ]


def test_side_by_side_takes_no_other_run_for_a_published_one() -> None:
    study = runs(("news", "wiki"), (256, 2048))
    assert side_by_side(load_published(), _metrics(study), study).rows == []
