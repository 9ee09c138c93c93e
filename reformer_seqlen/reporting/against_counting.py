"""Where the runs stand against n-grams of their corpus, in a sentence."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import UNTRAINED, Runs, points, shown_with_more_training
from reformer_seqlen.reporting.seeds import SPLITS, scored
from reformer_seqlen.reporting.table import joined

if TYPE_CHECKING:
    from reformer_seqlen.parameters.runs import Run

COUNTED = {
    "own": "of their corpus's training text",
    "all": "of that and the base's text",
}
"""What n-grams were counted on, and how that is said."""
FEW = 4
"""Runs are named where they are at most one in so many."""


def against_counting(values: Metrics, runs: Runs) -> str:
    """How many of the trained runs score better than n-grams, on both splits.

    The few that do where most do not are named. Nothing where nothing was counted.
    """
    trained = {
        name
        for point in points(shown_with_more_training(runs), scored(values, runs))
        if point.variant != UNTRAINED
        for name in point.names
    }
    orders = sorted({item["order"] for item in values["details"]["counts"].values()} - {1})
    parts: list[str] = []
    for text, words in COUNTED.items():
        of_text: list[str] = []
        for order in orders:
            known = {name: _is_better(values, name, runs[name], order, text) for name in trained}
            found = {name: known[name] for name in runs if known.get(name) is not None}
            if found:
                beat = "the" if parts or of_text else "runs beat the"
                of_text.append(f"{_share(found)} {beat} {order}-gram{_names(found)}")
        if of_text:
            parts.append(f"{joined(of_text)} {words}")
    return f"{', '.join(parts)}, on validation and test." if parts else ""


def _share(found: Mapping[str, bool | None]) -> str:
    return f"{sum(map(bool, found.values()))} of {len(found)}"


def _names(found: Mapping[str, bool | None]) -> str:
    better = [f"`{name}`" for name, is_better in found.items() if is_better]
    return f" ({joined(better)})" if 0 < len(better) <= len(found) / FEW else ""


def _is_better(values: Metrics, name: str, run: "Run", order: int, text: str) -> bool | None:
    """Whether a run scores better than its corpus's n-grams; None where those were not counted.

    They are of the model's own pieces where those were counted: bits per byte may be compared
    across tokenizers.
    """
    counts = values["details"]["counts"]
    wanted = {"corpus": run.corpus, "order": order, "text": text}
    found = [count for count, item in counts.items() if wanted.items() <= item.items()]
    if not found:
        return None
    level = min(found, key=lambda each: counts[each]["model"] != run.model)
    return all(
        values[split][name]["bits_per_byte"] < values[split][level]["bits_per_byte"]
        for split in SPLITS
    )
