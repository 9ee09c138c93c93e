"""The numbers behind the figures of runs, as the lines of CSV files."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from reformer_seqlen.reporting.records import Step
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.reporting.run_tables import label_of

if TYPE_CHECKING:
    from reformer_seqlen.parameters.runs import Run

Line = tuple[object, ...]
PLACE = ("run", "corpus", "model", "sequence_length")
"""What begins every line: the run and what sets it apart."""
POINTS = 200
"""At most so many points a curve: a figure shows no more, and git keeps every one of them."""


def thinned(steps: list[Step], points: int = POINTS) -> list[tuple[int, float, float]]:
    """At most `points` of (update, epoch, mean loss): each stands for equally many updates.

    Updates whose loss is no number are left out.
    """
    parts = np.array_split(np.arange(len(steps)), min(points, len(steps)) or 1)
    thin = []
    for part in parts:
        numbers = [loss for i in part if (loss := steps[i].training_loss) is not None]
        if numbers:
            last = steps[part[-1]]
            thin.append((last.step, last.epoch, math.fsum(numbers) / len(numbers)))
    return thin


def run_lines(results: Results, runs: Mapping[str, "Run"]) -> dict[str, list[Line]]:
    """The lines of each CSV file by its name; the first line names the columns.

    Scores are those of the test text. Losses are nats per piece, and `unigram_loss` is what a
    model without any context has of the validation text. Only `cost` holds timings.
    """
    lines: dict[str, list[Line]] = {
        "answer": [(*PLACE, "bits_per_byte", "low", "high", "kind")],
        "cost": [(*PLACE, "tokens_per_second")],
        "training_loss": [(*PLACE, "update", "epoch", "training_loss")],
        "validation_loss": [(*PLACE, "update", "epoch", "validation_loss", "unigram_loss")],
    }
    for name, run in runs.items():
        place = (name, run.corpus, run.model, run.sequence_length)
        history, scores = results.histories[name], results.scores[name]
        test = scores.test
        unigram = math.log(scores.validation.unigram_perplexity)
        validation = [
            (seen.step, seen.epoch, seen.validation_loss, unigram)
            for seen in history.evaluations
            if seen.validation_loss is not None
        ]
        for file, points in (
            ("answer", [(test.bits_per_byte, test.low, test.high, "trained")]),
            ("cost", [(results.timings[name].tokens_per_second,)]),
            ("training_loss", thinned(history.steps)),
            ("validation_loss", validation),
        ):
            lines[file] += [(*place, *point) for point in points]
    lines["answer"] += _levels(results, runs)
    return lines


def _levels(results: Results, runs: Mapping[str, "Run"]) -> Iterator[Line]:
    """What counting scores, a level from the shortest length of the corpus to the longest."""
    several = len({run.model for run in runs.values()}) > 1
    for name, count in results.counts.items():
        lengths = [run.sequence_length for run in runs.values() if run.corpus == count.corpus]
        label = label_of(count.model_dump(), several)
        for length in sorted({min(lengths), max(lengths)} if lengths else ()):
            yield (
                name, count.corpus, label, length,
                count.test.bits_per_byte, count.test.low, count.test.high, "counted",
            )  # fmt: skip
