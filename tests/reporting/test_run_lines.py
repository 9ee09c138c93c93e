"""The lines of the CSV files of training."""

import math

from reformer_seqlen.reporting.records import Step
from reformer_seqlen.reporting.run_lines import run_lines, thinned
from tests.plots_example import results, run_results, runs


def test_every_file_names_its_columns_and_has_the_points_of_every_run() -> None:
    study = runs("tiny", corpora=("news",))
    lines = run_lines(results(**run_results(study)), study)
    place = ("news-tiny-256", "news", "tiny", 256)
    columns = ("run", "corpus", "model", "sequence_length")
    assert lines["training_loss"][:2] == [
        (*columns, "update", "epoch", "training_loss"),
        (*place, 1, 0.5, 3.9375),
    ]
    assert lines["validation_loss"][:2] == [
        (*columns, "update", "epoch", "validation_loss", "unigram_loss"),
        (*place, 2, 1.0, 4.0625, math.log(90)),
    ]
    assert {name: len(rows) - 1 for name, rows in lines.items()} == {
        "training_loss": 3 * 6,
        "validation_loss": 3 * 3,
    }


def test_thinning_keeps_a_short_curve_as_it_is() -> None:
    steps = [Step(step=i, epoch=i / 2, training_loss=float(i)) for i in (1, 2, 3)]
    assert thinned(steps) == [(1, 0.5, 1.0), (2, 1.0, 2.0), (3, 1.5, 3.0)]
    assert thinned([]) == []


def test_thinning_gives_means_of_equally_many_updates() -> None:
    steps = [Step(step=i, epoch=i / 4, training_loss=float(i)) for i in range(1, 9)]
    assert thinned(steps, points=2) == [(4, 1.0, 2.5), (8, 2.0, 6.5)]


def test_thinning_leaves_out_what_is_no_number() -> None:
    steps = [Step(step=i, epoch=i, training_loss=None if i == 2 else 1.0) for i in (1, 2, 3)]
    assert thinned(steps) == [(1, 1.0, 1.0), (3, 3.0, 1.0)]
