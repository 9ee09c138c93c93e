"""The numbers behind the figures of training, as the lines of CSV files."""

import math

import numpy as np

from reformer_seqlen.reporting.points import Runs, labels
from reformer_seqlen.reporting.records import Step
from reformer_seqlen.reporting.results import Results

Line = tuple[object, ...]
PLACE = ("run", "corpus", "model", "sequence_length")
"""What begins every line: the run and what sets it apart, its model with what it does otherwise."""
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


def run_lines(results: Results, runs: Runs) -> dict[str, list[Line]]:
    """The lines of each CSV file by its name; the first line names the columns.

    Losses are nats per piece, and `unigram_loss` is what a model without any context has of the
    validation text.
    """
    lines: dict[str, list[Line]] = {
        "training_loss": [(*PLACE, "update", "epoch", "training_loss")],
        "validation_loss": [(*PLACE, "update", "epoch", "validation_loss", "unigram_loss")],
    }
    called = labels(runs)
    for name, run in runs.items():
        place = (name, run.corpus, called[name], run.sequence_length)
        history = results.histories[name]
        unigram = math.log(results.scores[name].validation.unigram_perplexity)
        lines["training_loss"] += [(*place, *point) for point in thinned(history.steps)]
        lines["validation_loss"] += [
            (*place, seen.step, seen.epoch, seen.validation_loss, unigram)
            for seen in history.evaluations
            if seen.validation_loss is not None
        ]
    return lines
