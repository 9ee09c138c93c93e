"""How much of the published gap is what: the way from the fair comparison to the published one.

The gap is by how much the longest context scores above the shortest. Each way of training and
scoring adds one thing to the way before it, so the gap changes by what that thing alone does. A
study has those ways for which it has runs; they are known by what the runs say over what holds for
all, not by their names.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from reformer_seqlen.reporting.points import Point, Runs, variant
from reformer_seqlen.reporting.records import Interval
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.scoring.uncertainty import Sums, bits_per_byte_of, interval

if TYPE_CHECKING:
    from reformer_seqlen.parameters.runs import Run

FAIR = "equal updates, equal text"
EPOCHS = "+ equal epochs and batch size"
DROPPED = "+ dropped training text"
EPOCHS_AND_DROPPED = "+ equal epochs, batch size and dropped training text"
SCORING = "+ published scoring"
SPLIT = "test"
BITS = "bits_per_byte"
NUMBERS = {BITS, "low", "high"}
Variants = Mapping[str, list[Point]]
"""The points of one corpus and model, by what they do otherwise."""


@dataclass(frozen=True)
class End:
    """A point's score in the windows of one policy.

    Attributes:
        score: bits per byte, and its interval where it is known.
        sums: nats and bytes of each block of its targets; None where they are not kept.
    """

    point: Point
    score: dict[str, float]
    bound: str | None
    sums: Sums | None


def gaps(found: Sequence[Point], runs: Runs, results: Results) -> dict[str, Any]:
    """The ways of every corpus and model that has more than the fair one, by what these are."""
    groups: dict[tuple[str, str], dict[str, list[Point]]] = {}
    for point in found:
        variants = groups.setdefault((point.corpus, point.model), {})
        variants.setdefault(point.variant, []).append(point)
    ways = {place: dict(_ways(variants, runs, results)) for place, variants in groups.items()}
    known = {place: _described(ends) for place, ends in ways.items() if len(ends) > 1}
    several = len({model for _, model in known}) > 1
    return {
        f"{corpus} ({model})" if several else corpus: described
        for (corpus, model), described in known.items()
    }


def _ways(
    variants: Variants, runs: Runs, results: Results
) -> Iterator[tuple[str, tuple[End, End]]]:
    """The shortest and the longest of each way that both have scores of."""
    dropped = _dropped(variants, runs)
    epochs = _epochs(variants, dropped, runs)
    plain = [point for point in variants.get("", []) if _is_fair(runs[point.name])]
    if len(_updates(plain, results)) > 1:
        return
    both = dropped and not epochs and _of_equal_epochs(runs[dropped[0].name])
    ways = (
        (FAIR, plain, "contiguous"),
        (EPOCHS, epochs, "contiguous"),
        (EPOCHS_AND_DROPPED if both else DROPPED, dropped, "contiguous"),
        (SCORING, dropped or epochs, "published"),
    )
    if not plain or not (epochs or dropped):
        return
    lengths = [{point.sequence_length for point in line} for _, line, _ in ways if line]
    shared = sorted(set.intersection(*lengths))
    for name, line, policy in ways:
        if line and len(shared) > 1:
            at = {point.sequence_length: point for point in line}
            ends = [_end(at[length], policy, results) for length in (shared[0], shared[-1])]
            if ends[0] is not None and ends[1] is not None:
                yield name, (ends[0], ends[1])


def _dropped(variants: Variants, runs: Runs) -> list[Point]:
    """Those that are trained in the published windows."""
    for line in variants.values():
        if runs[line[0].name].chunk.get("policy") == "published":
            return line
    return []


def _epochs(variants: Variants, dropped: list[Point], runs: Runs) -> list[Point]:
    """Those of equal epochs or an equal batch size that are trained on all the text."""
    if dropped:
        run = runs[dropped[0].name]
        name = variant(run.model_copy(update={"chunk": {}}))
        return variants.get(name, []) if name else []
    for line in variants.values():
        run = runs[line[0].name]
        if not run.chunk and not run.options and _of_equal_epochs(run):
            return line
    return []


def _is_fair(run: "Run") -> bool:
    """Whether a plain run is of the fair way: a corpus may have none but those of the others."""
    of_batches = {"epochs", "batch_size"} & set(run.train)
    return run.chunk.get("policy") != "published" and not of_batches


def _updates(line: Sequence[Point], results: Results) -> set[int]:
    """How many updates the points of a line made, those that are known."""
    return {results.histories[it.name].updates for it in line if it.name in results.histories}


def _of_equal_epochs(run: "Run") -> bool:
    """Whether a run says for how many epochs, or with how many sequences an update, it trains.

    With a batch size for a number of updates it is neither of equal epochs nor of equal text.
    """
    said = set(run.train)
    return bool({"epochs", "batch_size"} & said) and not {"updates", "tokens"} & said


def _end(point: Point, policy: str, results: Results) -> End | None:
    """What is known of a point under a policy; None where it was not scored so."""
    found = [_scored(name, policy, results) for name in point.names]
    scores = [score.model_dump(include=NUMBERS) for score, _ in found if score is not None]
    if len(scores) < len(found) or any(None in score.values() for score in scores):
        return None
    sums = [each for _, each in found if each is not None]
    bound = getattr(results.scores[point.name], SPLIT).bound
    if len(sums) == len(found) and _same_targets(sums):
        mean: Sums = np.mean(sums, axis=0)
        return End(point, _with_interval(mean), bound, mean)
    if len(scores) == 1:
        return End(point, scores[0], bound, None)
    return End(point, {BITS: fmean(score[BITS] for score in scores)}, bound, None)


def _scored(name: str, policy: str, results: Results) -> tuple[Interval | None, Sums | None]:
    if results.windows[name].policy == policy:
        return getattr(results.scores[name], SPLIT), results.blocks[name][SPLIT]
    score = results.scores[name].test.protocols.get(policy)
    return score, results.protocol_blocks.get(name, {}).get(policy, {}).get(SPLIT)


def _described(ways: Mapping[str, tuple[End, End]]) -> dict[str, Any]:
    """Each way's ends, its gap, and what it adds to the gap of the way before it."""
    known: dict[str, Any] = {}
    for name, (shortest, longest) in ways.items():
        known[name] = {
            "shortest": _described_end(shortest),
            "longest": _described_end(longest),
            "gap": _sum_of((1, longest), (-1, shortest)),
        }
    for (_, before), (name, now) in pairwise(ways.items()):
        terms = ((1, now[1]), (-1, now[0]), (-1, before[1]), (1, before[0]))
        known[name]["added"] = _sum_of(*terms)
    return known


def _described_end(end: End) -> dict[str, Any]:
    place = {"run": end.point.name, "sequence_length": end.point.sequence_length}
    return {**place, **end.score, **({"bound": end.bound} if end.bound else {})}


def _sum_of(*terms: tuple[int, End]) -> dict[str, float]:
    """The sum of scores, each with its sign; with an interval where all are of the same targets.

    Nats of the same targets may be added up block by block, and so the sum has an interval like
    any score.
    """
    sums = [end.sums for _, end in terms if end.sums is not None]
    if len(sums) < len(terms) or not _same_targets(sums):
        return {BITS: math.fsum(sign * end.score[BITS] for sign, end in terms)}
    nats = np.sum([sign * each[:, 0] for (sign, _), each in zip(terms, sums, strict=True)], axis=0)
    return _with_interval(np.stack([nats, sums[0][:, 1]], axis=1))


def _with_interval(sums: Sums) -> dict[str, float]:
    low, high = interval(sums)
    return {BITS: bits_per_byte_of(sums), "low": low, "high": high}


def _same_targets(sums: Sequence[Sums]) -> bool:
    return all(np.array_equal(each[:, 1], sums[0][:, 1]) for each in sums)
