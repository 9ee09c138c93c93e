"""Which runs are one point, and which points are one line."""

from reformer_seqlen.reporting.points import (
    first_shown,
    points,
    shown_with_more_training,
    variant,
    variants,
)
from tests.report_example import one_run, runs


def test_a_plain_run_says_nothing_over_what_holds_for_all() -> None:
    assert variant(one_run()) == ""
    assert variant(one_run(evaluate={"contexts": [64]})) == ""
    assert variant(one_run(train={"seed": 43, "threads": 1})) == ""


def test_what_a_run_does_otherwise_is_said_in_words() -> None:
    assert variant(one_run(train={"epochs": 3, "batch_size": 4})) == "epochs 3, batch size 4"
    published = one_run(chunk={"policy": "published"}, options={"num_hashes": 2})
    assert variant(published) == "policy published, num hashes 2"
    assert variant(one_run(train="none")) == "not trained here"


def test_where_no_run_is_plain_those_that_most_are_like_are_the_plain_ones() -> None:
    short = {"updates": 100}
    study = {
        "a": one_run(256, train=short),
        "b": one_run(1024, train=short),
        "wide": one_run(1024, train={"updates": 25}),
        "base": one_run(train="none"),
        "wiki": one_run(corpus="wiki"),
        "wiki-short": one_run(corpus="wiki", train=short),
    }
    assert variants(study) == {
        "a": "",
        "b": "",
        "wide": "updates 25",
        "base": "not trained here",
        "wiki": "",
        "wiki-short": "updates 100",
    }


def test_runs_that_differ_in_their_seed_alone_are_one_point() -> None:
    study = {
        "a": one_run(),
        "b": one_run(1024),
        "a43": one_run(train={"seed": 43}),
        "a-epochs": one_run(train={"epochs": 3, "seed": 44}),
        "b43": one_run(1024, train={"seed": 43}),
    }
    found = points(study)
    assert [point.names for point in found] == [("a", "a43"), ("b", "b43"), ("a-epochs",)]
    assert [point.label for point in found] == ["tiny", "tiny", "tiny, epochs 3"]
    assert [point.names for point in points(study, {"a43", "b"})] == [("b",), ("a43",)]


def test_runs_that_differ_in_nothing_or_are_scored_otherwise_stay_apart() -> None:
    twice = {"a": one_run(), "again": one_run()}
    assert [point.names for point in points(twice)] == [("a",), ("again",)]
    otherwise = {"a": one_run(), "b": one_run(train={"seed": 43}, evaluate={"stride": 64})}
    assert [point.names for point in points(otherwise)] == [("a",), ("b",)]


def test_what_is_trained_otherwise_than_a_plain_run_beside_it_is_not_shown_first() -> None:
    plain = runs(("news",), (256, 1024))
    more = {
        "news-256-epochs": one_run(train={"epochs": 3}),
        "news-256-base": one_run(train="none"),
        "news-4096": one_run(4096, train={"updates": 100}),
    }
    assert list(first_shown({**plain, **more})) == [*plain, "news-256-base", "news-4096"]


def test_a_line_that_goes_further_than_the_plain_one_is_shown_as_a_whole() -> None:
    wide = {n: one_run(n, train={"tokens_per_update": 16384}) for n in (256, 16384)}
    study = {**runs(("news",), (256, 1024)), **{f"wide-{n}": run for n, run in wide.items()}}
    assert list(first_shown(study)) == list(study)


def test_a_line_of_more_training_is_shown_as_well() -> None:
    plain = runs(("news",), (256, 1024))
    long = {"updates": 3000, "weight_decay": 0.3}
    line = {f"long-{n}": one_run(n, train=long) for n in (256, 1024)}
    assert list(first_shown({**plain, **line})) == [*plain, *line]
    assert list(first_shown({**plain, "long-256": line["long-256"]})) == [*plain]


def test_more_of_the_same_training_is_shown_beside_the_plain_run() -> None:
    plain = runs(("news",), (256, 1024))
    more = {
        "news-256-long": one_run(train={"updates": 1200}),
        "news-256-longest": one_run(train={"updates": 3000, "weight_decay": 0.3}),
        "news-256-base": one_run(train="none"),
    }
    otherwise = {"news-256-slow": one_run(train={"updates": 1200, "learning_rate": 1e-5})}
    assert list(shown_with_more_training({**plain, **otherwise, **more})) == [*plain, *more]


def test_more_training_is_more_than_that_of_the_plain_runs_of_its_corpus() -> None:
    """All of these say a rate, the plain ones too."""
    said = {"updates": 140, "learning_rate": 0.002}
    plain = {f"news-{n}": one_run(n, train=said) for n in (256, 1024)}
    more = {"long": one_run(train={**said, "updates": 500}), "epochs": one_run(train={"epochs": 3})}
    assert list(shown_with_more_training({**plain, **more})) == [*plain, "long"]
