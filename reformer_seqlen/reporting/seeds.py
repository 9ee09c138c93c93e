"""Runs that differ in their training seed, put together: the score of their mean.

The nats of the same targets are averaged over the seeds. The interval is that of the mean: it says
how sure the score is on other text, and the spread over the seeds stands beside it.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from reformer_seqlen.reporting.points import Point, Runs
from reformer_seqlen.reporting.records import Blocks, Score, Scores
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.scoring.uncertainty import Sums, bits_per_byte_of, interval

SPLITS = ("validation", "test")


def mean_blocks(point: Point, blocks: Mapping[str, Blocks]) -> Blocks:
    """Nats and bytes of each block of text, the nats in the mean over a point's runs.

    Raises:
        StudyError: they were scored on other text.
    """
    return {split: _mean(point, [blocks[name][split] for name in point.names]) for split in SPLITS}


def _mean(point: Point, sums: Sequence[Sums]) -> Sums:
    if not all(np.array_equal(each[:, 1], sums[0][:, 1]) for each in sums):
        raise StudyError(
            f"{', '.join(point.names)} differ in their seed alone and were scored on different "
            "text: run `make repro`"
        )
    mean: Sums = np.mean(sums, axis=0)
    return mean


def of_several(
    points: Sequence[Point], scores: Mapping[str, Scores], blocks: Mapping[str, Blocks]
) -> dict[str, Any]:
    """Of each point of several runs, by its name: which they are, and their scores together."""
    return {
        point.name: {
            "runs": list(point.names),
            **{
                split: _together([getattr(scores[name], split) for name in point.names], sums)
                for split, sums in mean_blocks(point, blocks).items()
            },
        }
        for point in points
        if len(point.names) > 1
    }


def _together(scores: Sequence[Score], sums: Sums) -> dict[str, Any]:
    """The mean with its interval, and how far the runs are apart; without what is no number."""
    bits = [score.bits_per_byte for score in scores]
    perplexities = [score.perplexity for score in scores]
    if None in bits or None in perplexities:
        return {}
    low, high = interval(sums)
    logarithms = [math.log(each) for each in perplexities if each is not None]
    return {
        "bits_per_byte": bits_per_byte_of(sums),
        "low": low,
        "high": high,
        "perplexity": math.exp(fmean(logarithms)),
        "lowest": min(each for each in bits if each is not None),
        "highest": max(each for each in bits if each is not None),
    }


def score_of(values: Mapping[str, Any], names: Sequence[str], split: str) -> Mapping[str, Any]:
    """What metrics say of a point on a split: the score of its run, or that of all its seeds.

    With `bound` where it is a lower bound. An n-gram is a point, too.

    Args:
        values: the metrics.
        names: the point's runs that have results.
        split: `validation` or `test`.
    """
    several = values["details"].get("seeds", {}).get(names[0], {"runs": []})
    if len(names) > 1 and several["runs"] == list(names):
        found: Mapping[str, Any] = several[split]
    else:
        found = values[split].get(names[0], {})
    bound = _bound(values["details"], names[0], split)
    return {**found, "bound": bound} if found and bound else found


def _bound(details: Mapping[str, Any], name: str, split: str) -> str | None:
    count = details["counts"].get(name, {}).get("bound", {})
    bound: str | None = details["scores"].get(name, {}).get(split, {}).get("bound")
    return bound or count.get(split)


def computed(values: Mapping[str, Any], runs: Runs) -> set[str]:
    """The runs that have results.

    One that params.yaml trains, and that was scored while it did not, has none yet.
    """
    training = values["details"]["training"]
    return {
        name
        for name, run in runs.items()
        if name in training and (training[name]["updates"] or not run.is_trained)
    }


def scored(values: Mapping[str, Any], runs: Runs) -> set[str]:
    """The runs whose score on the test text is a number."""
    return {
        name for name in computed(values, runs) if "bits_per_byte" in values["test"].get(name, {})
    }
