"""The numbers behind the figures of scores, as the lines of CSV files: those of the test text."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from reformer_seqlen.reporting.gap import gaps
from reformer_seqlen.reporting.points import (
    UNTRAINED,
    Point,
    Runs,
    first_shown,
    labels,
    points,
)
from reformer_seqlen.reporting.records import Score
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.reporting.run_lines import PLACE, Line
from reformer_seqlen.reporting.run_tables import label_of
from reformer_seqlen.reporting.score_tables import OWN
from reformer_seqlen.reporting.seeds import of_several

INTERVAL = ("bits_per_byte", "low", "high")
LABEL = 0.05
"""The height of a label over that of a panel."""


def score_lines(results: Results, runs: Runs) -> dict[str, list[Line]]:
    """The lines of each CSV file by its name; the first line names the columns.

    Only `cost` holds timings.
    """
    return {
        "answer": [
            (*PLACE, *INTERVAL, "bound", "kind", "label_at"),
            *_answer(results, runs),
        ],
        "cost": [(*PLACE, "tokens_per_second"), *_speeds(results, _shown(runs))],
        "untrained": [(*PLACE, *INTERVAL, "bound"), *_untrained(results, runs)],
        "contexts": [(*PLACE, "context", *INTERVAL, "bound"), *_contexts(results, runs)],
        "positions": [(*PLACE, "up_to", "tokens", "nats"), *_positions(results, runs)],
        "hash_rounds": [(*PLACE, "rounds", *INTERVAL, "bound"), *_hash_rounds(results, runs)],
        "gap": [
            ("run", "corpus", "way", "sequence_length", "quantity", *INTERVAL, "bound"),
            *_gaps(results, runs),
        ],
    }


def _place(point: Point) -> Line:
    return point.name, point.corpus, point.label, point.sequence_length


def scored_points(results: Results, found: Sequence[Point]) -> Iterator[tuple[Point, Line]]:
    """Each point with its bits per byte, their interval, and whether they are a lower bound.

    None where they are no number.
    """
    several = of_several(found, results.scores, results.blocks)
    for point in found:
        own = results.scores[point.name].test
        together = several.get(point.name, {"test": own.model_dump()})["test"]
        yield point, (*_interval(together), own.bound)


def _speeds(results: Results, found: Sequence[Point]) -> Iterator[Line]:
    for point in found:
        timings = [results.timings[name].tokens_per_second for name in point.names]
        speeds = [speed for speed in timings if speed is not None]
        if speeds:
            yield (*_place(point), fmean(speeds))


def _answer(results: Results, runs: Runs) -> Iterator[Line]:
    """Each trained point, and what counting scores of its corpus."""
    found = list(scored_points(results, _shown(runs)))
    for point, score in found:
        yield *_place(point), *score, "trained", None
    for corpus in dict.fromkeys(point.corpus for point, _ in found):
        own = [(point, score) for point, score in found if point.corpus == corpus]
        lengths = [point.sequence_length for point, _ in own]
        bits = [each for _, score in own for each in score if isinstance(each, float)]
        yield from _levels(results, corpus, lengths, bits)


def _shown(runs: Runs) -> list[Point]:
    """The trained points that are shown first."""
    return [point for point in points(first_shown(runs)) if point.variant != UNTRAINED]


def _untrained(results: Results, runs: Runs) -> Iterator[Line]:
    found = [point for point in points(runs) if point.variant == UNTRAINED]
    for point, score in scored_points(results, found):
        yield point.name, point.corpus, point.model, point.sequence_length, *score


def _levels(
    results: Results, corpus: str, lengths: Sequence[int], scores: Sequence[float]
) -> Iterator[Line]:
    """What counting scores, a level from the shortest length of the corpus to the longest."""
    for name, label, score, label_at in levels(results, corpus, scores):
        for length in sorted({min(lengths), max(lengths)}):
            yield name, corpus, label, length, *score, "counted", label_at


def levels(
    results: Results, corpus: str, scores: Sequence[float]
) -> Iterator[tuple[str, str, Line, float | None]]:
    """What counting scores: the count's name, what it is called, its score, and a label's place.

    Args:
        results: of the study.
        corpus: whose n-grams.
        scores: all other bits per byte in the same panel.
    """
    several = len({count.model for count in results.counts.values()}) > 1
    counts = {name: it for name, it in results.counts.items() if it.corpus == corpus}
    bits = {name: count.test.bits_per_byte for name, count in counts.items()}
    known = [*scores, *(each for each in bits.values() if each is not None)]
    places = apart(bits, LABEL * (max(known) - min(known))) if known else {}
    for name, count in counts.items():
        score = (*_interval(count.test.model_dump()), count.test.bound)
        yield name, label_of(count.model_dump(), several), score, places.get(name)


def apart(bits: Mapping[str, float | None], gap: float) -> dict[str, float]:
    """Where labels of levels stand: near them, and `gap` or more above one another."""
    places: dict[str, float] = {}
    lowest = -math.inf
    for name, level in sorted(bits.items(), key=lambda it: it[1] or 0.0):
        if level is not None:
            places[name] = lowest = max(level, lowest + gap)
    return places


def _tests(results: Results, runs: Runs) -> Iterator[tuple[Line, Score]]:
    """The place of every run, and its score on the test text."""
    called = labels(runs)
    for name, run in runs.items():
        place = (name, run.corpus, called[name], run.sequence_length)
        yield place, results.scores[name].test


def _contexts(results: Results, runs: Runs) -> Iterator[Line]:
    """Each run in shorter windows and in its own."""
    for place, score in _tests(results, runs):
        for context in sorted(map(int, score.contexts)):
            yield (
                *place,
                context,
                *_interval(score.contexts[str(context)].model_dump()),
                score.bound,
            )
        if score.contexts:
            yield *place, place[-1], *_interval(score.model_dump()), score.bound


def _positions(results: Results, runs: Runs) -> Iterator[Line]:
    for place, score in _tests(results, runs):
        for position in score.by_position:
            if position.nats is not None:
                yield *place, position.up_to, position.tokens, position.nats


def _hash_rounds(results: Results, runs: Runs) -> Iterator[Line]:
    """Each run as it was trained, and with other numbers of rounds."""
    for place, score in _tests(results, runs):
        if score.hash_rounds:
            yield *place, OWN, *_interval(score.model_dump()), score.bound
        for rounds in sorted(map(int, score.hash_rounds)):
            other = score.hash_rounds[str(rounds)]
            yield *place, rounds, *_interval(other.model_dump()), score.bound


def _gaps(results: Results, runs: Runs) -> Iterator[Line]:
    """Of each way of training and scoring: the score at both ends, the gap between them."""
    for corpus, ways in gaps(points(runs), runs, results).items():
        for way, known in ways.items():
            for end in (known["shortest"], known["longest"]):
                place = (end["run"], corpus, way, end["sequence_length"])
                yield *place, "score", *_interval(end), end.get("bound")
            yield *place, "gap", *_interval(known["gap"]), None


def _interval(known: Mapping[str, Any]) -> Line:
    return tuple(known.get(key) for key in INTERVAL)
