"""Whether trained models use the context that they are given, in a sentence."""

from collections.abc import Mapping
from typing import Any

from reformer_seqlen.reporting.differences import is_sure
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.scores import signed
from reformer_seqlen.reporting.table import joined, span


def context_use(values: Metrics, runs: Runs) -> str:
    """How much worse runs score in their shortest windows than in their own, on the test text.

    Nothing where no run was scored in shorter windows on the same targets.
    """
    found = {name: change for name in runs if (change := _change(values, name)) is not None}
    if not found:
        return ""
    lengths = span({length for length, _ in found.values()})
    shown = [f"`{name}` {signed(change)}" for name, (_, change) in found.items()]
    used = sum(is_sure(each) and each["bits_per_byte"] > 0 for _, each in found.values())
    verdict = ": it uses what a longer window gives it" if used == len(found) else ""
    return (
        f"In windows of {lengths} tokens instead of its own, the same model's bits per byte change "
        f"by {joined(shown)} (surely worse in {used} of {len(found)}){verdict}."
    )


def _change(values: Metrics, name: str) -> tuple[int, Mapping[str, Any]] | None:
    """The shortest windows in which a run was scored, and how far above its own score that is."""
    contexts = values["details"]["scores"].get(name, {}).get("test", {}).get("contexts") or {}
    known = {
        int(length): difference
        for length, score in contexts.items()
        if (difference := score.get("difference"))
    }
    return min(known.items()) if known else None
