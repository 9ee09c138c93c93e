"""What the training of a point took, in the mean over its seeds."""

from statistics import fmean

from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Point


def tokens_per_second(values: Metrics, point: Point) -> float:
    """How fast a point was trained."""
    return _mean(values, point, "tokens_per_second")


def training_seconds(values: Metrics, point: Point) -> float:
    """How long a point was trained."""
    return _mean(values, point, "runtime_seconds")


def _mean(values: Metrics, point: Point, key: str) -> float:
    timings = values["measured"]["timings"]["finetune"]
    return fmean(timings[name][key] for name in point.names)
