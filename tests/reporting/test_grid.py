"""The layout of grids of any shape."""

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reporting.grid import grid
from tests.report_example import one_run, runs


def test_lengths_stand_down_and_corpora_across() -> None:
    study = runs(("news", "wiki"), (1024, 256))
    headers, rows, labels = grid(study, study, ", ".join)
    assert headers == ["seq len", "news", "wiki"]
    assert rows == [["256", "news-256", "wiki-256"], ["1024", "news-1024", "wiki-1024"]]
    assert labels == 1


def test_a_length_that_a_corpus_lacks_leaves_a_blank() -> None:
    study = {**runs(("news",), (256,)), **runs(("wiki",), (1024,))}
    assert grid(study, study, ", ".join)[1] == [
        ["256", "news-256", ""],
        ["1024", "", "wiki-1024"],
    ]


def test_a_run_without_results_is_not_computed_yet() -> None:
    study = runs(("news",), (256, 1024))
    more = {"runs": lambda names: str(len(names))}
    assert grid(study, {"news-256": ...}, ", ".join, more)[1] == [
        ["256", "news-256", "1"],
        ["1024", "not computed yet", "0"],
    ]


def test_several_models_get_a_column() -> None:
    study = {
        "a": Run(corpus="news", model="small", sequence_length=256),
        "b": Run(corpus="news", model="large", sequence_length=256),
    }
    headers, rows, labels = grid(study, study, ", ".join)
    assert headers == ["model", "seq len", "news"]
    assert rows == [["small", "256", "a"], ["large", "256", "b"]]
    assert labels == 2


def test_runs_of_several_seeds_are_one_cell() -> None:
    study = {"a": one_run(), "b": one_run(train={"seed": 43})}
    assert grid(study, study, ", ".join)[1] == [["256", "a, b"]]
    assert grid(study, {"b": ...}, ", ".join)[1] == [["256", "b"]]
    assert grid(study, {}, ", ".join)[1] == [["256", "not computed yet"]]


def test_what_is_trained_otherwise_has_a_row_of_its_own() -> None:
    study = {"a": one_run(), "b": one_run(train={"epochs": 3})}
    assert grid(study, study, ", ".join)[1] == [
        ["tiny", "256", "a"],
        ["tiny, epochs 3", "256", "b"],
    ]


def test_several_runs_in_one_cell_are_told_apart_by_name() -> None:
    study = {name: Run(corpus="news", model="m", sequence_length=256) for name in ("a", "b")}
    assert grid(study, study, lambda _: "1")[1] == [["256", "1 (a); 1 (b)"]]
