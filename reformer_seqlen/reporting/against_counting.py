"""Where the runs stand against n-grams of their corpus, in a sentence."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reformer_seqlen.reporting.differences import told_apart
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import UNTRAINED, Runs, points, shown_with_more_training
from reformer_seqlen.reporting.seeds import SPLITS, scored
from reformer_seqlen.reporting.table import joined

if TYPE_CHECKING:
    from reformer_seqlen.parameters.runs import Run

OWN = "their corpus's training text"
COUNTED = {"own": "of {}", "all": "of {} and the base's text"}
"""What n-grams were counted on, and how that is said of their corpus's training text."""
FEW = 4
"""Runs are named where they are at most one in so many."""


def against_counting(values: Metrics, runs: Runs) -> str:
    """How many of the trained runs score better than n-grams, on both splits.

    The few that do where most do not are named, and how many of them do so by more than the
    uncertainty, if not all. Runs that the headline does not show are none of them, which is said.
    Nothing where nothing was counted.
    """
    trained = _trained(values, shown_with_more_training(runs))
    orders = sorted({item["order"] for item in values["details"]["counts"].values()} - {1})
    here = "" if all(run.is_trained for run in runs.values()) else " trained here"
    parts: list[str] = []
    for text, words in COUNTED.items():
        of_text: list[str] = []
        for order in orders:
            levels = {name: _level(values, runs[name], order, text) for name in trained}
            found = {name: level for name in runs if (level := levels.get(name)) is not None}
            if found:
                beat = "the" if parts or of_text else f"runs{here} beat the"
                of_text.append(_beaten(values, found, f"{beat} {order}-gram"))
        if of_text:
            parts.append(f"{joined(of_text)} {words.format('that' if parts else OWN)}")
    left_out = len(_trained(values, runs) - trained)
    said = "that is trained otherwise is" if left_out == 1 else "that are trained otherwise are"
    more = f"; {left_out} {said} not counted" if left_out else ""
    return f"{', '.join(parts)}, on validation and test{more}." if parts else ""


def _trained(values: Metrics, runs: Runs) -> set[str]:
    return {
        name
        for point in points(runs, scored(values, runs))
        if point.variant != UNTRAINED
        for name in point.names
    }


def _beaten(values: Metrics, levels: Mapping[str, str], what: str) -> str:
    """How many runs score better than n-grams: of what, by run, these are known."""
    better = {name: level for name, level in levels.items() if _is_better(values, name, level)}
    few = 0 < len(better) <= len(levels) / FEW
    named = joined([f"`{name}`" for name in better]) if few else ""
    aside = "; ".join(filter(None, [named, _surely(values, better)]))
    return f"{len(better)} of {len(levels)} {what}{f' ({aside})' if aside else ''}"


def _surely(values: Metrics, better: Mapping[str, str]) -> str:
    """How many are better by more than the uncertainty; nothing if all are or one is unknown."""
    known = values["details"]["differences"]
    apart = [
        [told_apart(known, name, level, split) for split in SPLITS]
        for name, level in better.items()
    ]
    sure = sum(map(all, apart))
    if sure == len(apart) or any(None in each for each in apart):
        return ""
    return f"{sure} by more than {'its' if sure == 1 else 'their'} uncertainty"


def _level(values: Metrics, run: "Run", order: int, text: str) -> str | None:
    """The n-grams of a run's corpus; None where those were not counted.

    They are of the model's own pieces where those were counted: bits per byte may be compared
    across tokenizers.
    """
    counts: Mapping[str, Any] = values["details"]["counts"]
    wanted = {"corpus": run.corpus, "order": order, "text": text}
    found = [count for count, item in counts.items() if wanted.items() <= item.items()]
    if not found:
        return None
    return min(found, key=lambda each: counts[each]["model"] != run.model)


def _is_better(values: Metrics, name: str, level: str) -> bool:
    return all(
        values[split][name]["bits_per_byte"] < values[split][level]["bits_per_byte"]
        for split in SPLITS
    )
