"""Runs of several training seeds: the score of their mean, and how far they are apart."""

import numpy as np
import pytest

from reformer_seqlen.reporting.points import points
from reformer_seqlen.reporting.records import Scores
from reformer_seqlen.reporting.seeds import mean_blocks, of_several, score_of
from reformer_seqlen.runtime.errors import StudyError
from tests.metrics_example import metrics_of
from tests.plots_example import score
from tests.report_example import blocks, one_run

STUDY = {"a": one_run(), "b": one_run(train={"seed": 43})}
SPLITS = ("validation", "test")


def test_the_nats_of_the_same_targets_are_averaged() -> None:
    (point,) = points(STUDY)
    found = {"a": dict.fromkeys(SPLITS, blocks(0)), "b": dict.fromkeys(SPLITS, blocks(2000))}
    for split in SPLITS:
        np.testing.assert_allclose(mean_blocks(point, found)[split], blocks(1000))
    scores = {
        name: Scores(validation=score(3.5), test=score(bits))
        for name, bits in (("a", 2.0), ("b", 2.5))
    }
    together = of_several([point], scores, found)["a"]
    assert together["runs"] == ["a", "b"]
    nats_per_byte = 2 + 19.5 / 40 + 0.1
    assert together["test"]["bits_per_byte"] == pytest.approx(nats_per_byte / np.log(2))
    assert together["test"]["low"] < together["test"]["bits_per_byte"] < together["test"]["high"]
    assert together["test"]["perplexity"] == pytest.approx(10)
    assert (together["test"]["lowest"], together["test"]["highest"]) == (2.0, 2.5)


def test_a_run_that_is_alone_is_its_own_mean() -> None:
    (point,) = points({"a": one_run()})
    found = {"a": dict.fromkeys(SPLITS, blocks(256))}
    np.testing.assert_array_equal(mean_blocks(point, found)["test"], blocks(256))
    assert of_several([point], {}, found) == {}


def test_a_seed_that_is_no_number_leaves_no_mean() -> None:
    (point,) = points(STUDY)
    found = dict.fromkeys(STUDY, dict.fromkeys(SPLITS, blocks(256)))
    scores = {
        name: Scores(validation=score(3.5), test=score(bits))
        for name, bits in (("a", 2.0), ("b", None))
    }
    assert of_several([point], scores, found)["a"]["test"] == {}


def test_seeds_on_other_text_are_refused() -> None:
    (point,) = points(STUDY)
    found = {"a": dict.fromkeys(SPLITS, blocks(256)), "b": dict.fromkeys(SPLITS, blocks(256)[:20])}
    with pytest.raises(StudyError, match=r"a, b differ in their seed alone and were scored on dif"):
        mean_blocks(point, found)


def test_a_point_has_the_score_of_all_its_runs_that_there_are() -> None:
    values = metrics_of({**STUDY, "c": one_run(1024)})
    assert score_of(values, ["c"], "test") == values["test"]["c"]
    together = {"bits_per_byte": 1.5, "low": 1.4, "high": 1.6, "perplexity": 11.0}
    values["details"]["seeds"] = {"a": {"runs": ["a", "b"], "test": together}}
    assert score_of(values, ["a", "b"], "test") == together
    assert score_of(values, ["a"], "test") == values["test"]["a"]
