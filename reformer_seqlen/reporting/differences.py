"""Which points can be told apart: differences of scores on the same text, with their intervals."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from reformer_seqlen.reporting.points import Point, Runs, points
from reformer_seqlen.reporting.records import Blocks
from reformer_seqlen.reporting.seeds import score_of
from reformer_seqlen.scoring.uncertainty import difference


def pairs(found: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """Every two points of a corpus, the shorter first, of equal lengths the later one."""
    for one, other in combinations(found, 2):
        if one.corpus == other.corpus:
            yield (one, other) if one.sequence_length < other.sequence_length else (other, one)


def differences(blocks: Mapping[str, Blocks], found: Sequence[Point]) -> dict[str, Any]:
    """By how much a point is above another one of its corpus, in bits per byte: by both names.

    The first name is the longer one's. Points that were not scored on the same bytes, as under the
    published policy, are left out, and so are scores that are no number.

    Args:
        blocks: of each point, by its name.
        found: the points.
    """
    known: dict[str, Any] = {}
    for shorter, longer in pairs(found):
        if splits := _of_splits(blocks[longer.name], blocks[shorter.name]):
            known.setdefault(longer.name, {})[shorter.name] = splits
    return known


def from_counts(
    blocks: Mapping[str, Blocks],
    runs: Runs,
    counted: Mapping[str, Blocks],
    corpora: Mapping[str, str],
) -> dict[str, Any]:
    """By how much each run is above the n-grams of its corpus, as `differences`.

    Args:
        blocks: of each run.
        runs: the runs of params.yaml.
        counted: blocks of each count.
        corpora: of each count.
    """
    known: dict[str, Any] = {}
    for name, run in runs.items():
        for count, sums in counted.items():
            if corpora[count] == run.corpus and (splits := _of_splits(blocks[name], sums)):
                known.setdefault(name, {})[count] = splits
    return known


def _of_splits(one: Blocks, other: Blocks) -> dict[str, dict[str, float]]:
    """By how much `one` is above `other`, of the splits where that is known."""
    splits = {}
    for split, sums in one.items():
        beside = other[split]
        if np.array_equal(sums[:, 1], beside[:, 1]) and np.isfinite(sums + beside).all():
            value, low, high = difference(sums, beside)
            splits[split] = {"bits_per_byte": value, "low": low, "high": high}
    return splits


def above(known: Mapping[str, Any], one: str, other: str, split: str) -> dict[str, float] | None:
    """By how much `one` is above `other`: bits per byte, low, high; None where it is not known."""
    if found := known.get(one, {}).get(other, {}).get(split):
        return dict(found)
    if found := known.get(other, {}).get(one, {}).get(split):
        turned = {"bits_per_byte": "bits_per_byte", "low": "high", "high": "low"}
        return {key: -found[of] for key, of in turned.items()}
    return None


def told_apart(known: Mapping[str, Any], one: str, other: str, split: str) -> bool | None:
    """Whether a difference is larger than its uncertainty; None where it is not known."""
    interval = above(known, one, other, split)
    return None if interval is None else is_sure(interval)


def is_sure(difference: Mapping[str, float]) -> bool:
    """Whether a difference has an interval, and that does not hold 0."""
    return "low" in difference and (difference["low"] > 0 or difference["high"] < 0)


def difference_on_test(values: Mapping[str, Any], one: Point, other: Point) -> dict[str, float]:
    """By how much `one` is above `other` on the test text, with an interval where it is known."""
    known = above(values["details"]["differences"], one.name, other.name, "test")
    return known or {"bits_per_byte": bits_on_test(values, one) - bits_on_test(values, other)}


def bits_on_test(values: Mapping[str, Any], point: Point) -> float:
    """A point's bits per byte of the test text."""
    bits: float = score_of(values, point.names, "test")["bits_per_byte"]
    return bits


def neighbour(runs: Runs, name: str) -> str | None:
    """The point of the same line that is the next shorter one, by name."""
    found = points(runs)
    own = next(point for point in found if name in point.names)
    line = [point for point in found if (point.corpus, point.label) == (own.corpus, own.label)]
    shorter = [point for point in line if point.sequence_length < own.sequence_length]
    nearest = max(shorter, key=lambda point: point.sequence_length, default=None)
    return None if nearest is None else nearest.name
