"""The numbers behind the loss figures, as tidy frames: one row per point of a curve."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reformer_seqlen.reporting.metrics import DIGITS
from reformer_seqlen.reporting.results import History, Results, Step

if TYPE_CHECKING:
    from reformer_seqlen.reporting.grid import Runs

POINTS = 200
"""At most so many points a curve: a figure shows no more, and git keeps every one of them."""


def thinned(steps: list[Step], points: int = POINTS) -> list[tuple[int, float, float]]:
    """At most `points` of (step, epoch, mean loss): each stands for equally many updates.

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


def _training(history: History) -> pd.DataFrame:
    return pd.DataFrame(thinned(history.steps), columns=["step", "epoch", "training_loss"])


def _validation(history: History, unigram_perplexity: float) -> pd.DataFrame:
    points = [
        (item.step, item.epoch, item.validation_loss)
        for item in history.evaluations
        if item.validation_loss is not None
    ]
    frame = pd.DataFrame(points, columns=["step", "epoch", "validation_loss"])
    return frame.assign(unigram_loss=math.log(unigram_perplexity))


def _of_run(frame: pd.DataFrame, name: str, runs: "Runs") -> pd.DataFrame:
    """The frame with the run's name and place in front."""
    run = runs[name]
    for column, value in (
        ("sequence_length", run.sequence_length),
        ("model", run.model),
        ("run", name),
    ):
        frame.insert(0, column, value)
    return frame.round(DIGITS)


def curves(results: Results, runs: "Runs") -> dict[str, dict[str, pd.DataFrame]]:
    """The frames of the loss figures, by figure and corpus."""
    training: dict[str, list[pd.DataFrame]] = {}
    validation: dict[str, list[pd.DataFrame]] = {}
    for name, run in runs.items():
        history = results.histories[name]
        unigram = results.scores[name].validation.unigram_perplexity
        training.setdefault(run.corpus, []).append(_of_run(_training(history), name, runs))
        validation.setdefault(run.corpus, []).append(
            _of_run(_validation(history, unigram), name, runs)
        )
    return {
        figure: {corpus: pd.concat(frames, ignore_index=True) for corpus, frames in parts.items()}
        for figure, parts in (("training_loss", training), ("validation_loss", validation))
    }
