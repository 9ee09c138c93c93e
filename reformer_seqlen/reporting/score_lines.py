"""The numbers behind the figures of scores, as the lines of CSV files: those of the test text."""

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from reformer_seqlen.reporting.gap import gaps
from reformer_seqlen.reporting.points import Point, Runs, first_shown, points
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.reporting.run_lines import PLACE, Line
from reformer_seqlen.reporting.run_tables import label_of
from reformer_seqlen.reporting.seeds import of_several

INTERVAL = ("bits_per_byte", "low", "high")


def score_lines(results: Results, runs: Runs) -> dict[str, list[Line]]:
    """The lines of each CSV file by its name; the first line names the columns.

    Only `cost` holds timings.
    """
    shown = points(first_shown(runs))
    return {
        "answer": [
            (*PLACE, *INTERVAL, "kind"),
            *((*_place(point), *score, "trained") for point, score in _scored(results, shown)),
            *_levels(results, runs),
        ],
        "cost": [(*PLACE, "tokens_per_second"), *_speeds(results, shown)],
        "gap": [
            ("run", "corpus", "way", "sequence_length", "quantity", *INTERVAL),
            *_gaps(results, runs),
        ],
    }


def _place(point: Point) -> Line:
    return point.name, point.corpus, point.label, point.sequence_length


def _scored(results: Results, found: list[Point]) -> Iterator[tuple[Point, Line]]:
    """Each point with its bits per byte and their interval; None where they are no number."""
    several = of_several(found, results.scores, results.blocks)
    for point in found:
        together: Mapping[str, Any] = several.get(point.name, {}).get("test", {})
        score = together or results.scores[point.name].test.model_dump()
        yield point, tuple(score[key] for key in INTERVAL)


def _speeds(results: Results, found: list[Point]) -> Iterator[Line]:
    for point in found:
        timings = [results.timings[name].tokens_per_second for name in point.names]
        speeds = [speed for speed in timings if speed is not None]
        if speeds:
            yield (*_place(point), fmean(speeds))


def _levels(results: Results, runs: Runs) -> Iterator[Line]:
    """What counting scores, a level from the shortest length of the corpus to the longest."""
    several = len({count.model for count in results.counts.values()}) > 1
    for name, count in results.counts.items():
        lengths = [run.sequence_length for run in runs.values() if run.corpus == count.corpus]
        label = label_of(count.model_dump(), several)
        for length in sorted({min(lengths), max(lengths)} if lengths else ()):
            yield (
                name, count.corpus, label, length,
                count.test.bits_per_byte, count.test.low, count.test.high, "counted",
            )  # fmt: skip


def _gaps(results: Results, runs: Runs) -> Iterator[Line]:
    """Of each way of training and scoring: the score at both ends, the gap between them."""
    for corpus, ways in gaps(points(runs), runs, results).items():
        for way, known in ways.items():
            for end in ("shortest", "longest"):
                length = known[end]["sequence_length"]
                yield known[end]["run"], corpus, way, length, "score", *_interval(known[end])
            longest = known["longest"]
            place = (longest["run"], corpus, way, longest["sequence_length"])
            yield *place, "gap", *_interval(known["gap"])


def _interval(known: Mapping[str, float]) -> Line:
    return tuple(known.get(key) for key in INTERVAL)
