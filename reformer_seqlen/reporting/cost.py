"""What each doubling of the length does to the speed of training and to memory, in a sentence."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from reformer_seqlen.reporting.doublings import Pair, alike, speeds
from reformer_seqlen.reporting.memory_tables import memory_rows, series_names
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.run_tables import threads
from reformer_seqlen.reporting.table import number, percent, significant


def cost(values: Metrics, compared: Sequence[Pair]) -> str:
    """What each doubling does to the speed of training and to memory."""
    measured = speeds(values, compared)
    logarithms = [
        math.log(after / before) / pair.doublings
        for pair, (before, after) in zip(compared, measured, strict=True)
    ]
    change, lowest, highest = (
        percent(100 * math.expm1(each), 1)
        for each in (fmean(logarithms), min(logarithms), max(logarithms))
    )
    if lowest != highest:  # each time was taken once: how sure is it?
        once = all(len(end.names) == 1 for pair in compared for end in pair.ends)
        change += f" ({lowest} to {highest} by corpus{', each timed once' if once else ''})"
    ends = " → ".join(significant(fmean(end)) for end in zip(*measured, strict=True))
    label = compared[0].shortest.label
    processor = values["measured"]["machine"]["processor"]
    speed = (
        f"Each doubling changes the speed of training `{label}` by {change}, {ends} tokens a "
        f"second on {processor}, {threads(values)},"
    )
    curves = values["details"]["memory"]["training"].values()
    unlike = ", unlike in these runs" if alike(values, compared)[0] else ""
    model = compared[0].shortest.model
    memory = _training_memory(curves, model, unlike) or _inference_memory(values)
    return f"{speed} and multiplies {memory}." if memory else f"{speed.rstrip(',')}."


def _training_memory(found: Iterable[Mapping[str, Any]], model: str, unlike: str) -> str:
    """What training takes by one curve at its smallest depth: the model's own, or the first.

    Args:
        found: the points of all curves.
        model: whose curve is wanted.
        unlike: said of the tokens of an update, where the runs have as many at each length.
    """
    curves: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for point in sorted(found, key=lambda it: it["curve"] != model):
        curves.setdefault((point["curve"], point["layers"]), []).append(point)
    for (curve, layers), of_curve in curves.items():
        batch_size = of_curve[0]["batch_size"]
        batch = f"batch {batch_size}, so twice the tokens each time{unlike}"
        what = f"`{curve}`, {layers} layers, {batch}"
        if grown := _grown(of_curve, "predicted_allocated_mib", what):
            return f"the predicted memory of an update by {grown}"
    return ""


def _inference_memory(values: Metrics) -> str:
    """What one model's forward pass takes."""
    memory = memory_rows(values)
    names = series_names(memory)
    series: dict[str, list[Mapping[str, Any]]] = {}
    for name, row in memory.items():
        if row["predicted_mib"] is not None:
            series.setdefault(names[name], []).append(row)
    for name, found in series.items():
        if grown := _grown(found, "predicted_mib", f"{name}, batch {found[0]['batch_size']}"):
            return f"the predicted memory of a forward pass by {grown}"
    return ""


def _grown(found: list[Mapping[str, Any]], key: str, what: str) -> str:
    """By how much a doubling multiplies it; nothing where there is one length."""
    ends = [pick(found, key=lambda it: it["sequence_length"]) for pick in (min, max)]
    (short, less), (long, more) = ((end["sequence_length"], end[key]) for end in ends)
    if short == long:
        return ""
    factor = (more / less) ** (1 / math.log2(long / short))
    return (
        f"{factor:.2f} ({what}: {number(less, 0)} MiB at {short:,} tokens, {number(more, 0)} MiB "
        f"at {long:,})"
    )
