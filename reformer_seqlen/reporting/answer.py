"""The study's answer in a few sentences, of its metrics alone: what a longer context changed.

The shortest and the longest run of every corpus and model are compared: bits per byte of the test
split, how much both were trained, and what a longer sequence costs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reformer_seqlen.reporting.differences import told_apart
from reformer_seqlen.reporting.grid import models_of
from reformer_seqlen.reporting.memory_tables import memory_rows, series_names
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.run_tables import threads
from reformer_seqlen.reporting.table import number, percent, span

ALIKE = 0.03
"""Relative; tokens seen differ by less where the last batch of an epoch is smaller."""


@dataclass(frozen=True)
class Pair:
    """The shortest and the longest run of a corpus and model, by name."""

    label: str
    shortest: str
    longest: str


def pairs(values: Metrics, runs: Runs) -> list[Pair]:
    """The pairs that can be compared: both scored, their lengths not equal."""
    several = len(models_of(runs)) > 1
    groups: dict[tuple[str, str], list[str]] = {}
    for name, run in runs.items():
        if "bits_per_byte" in values["test"].get(name, {}):
            groups.setdefault((run.corpus, run.model), []).append(name)
    found = []
    for (corpus, model), names in groups.items():
        by_length = sorted(names, key=lambda name: runs[name].sequence_length)
        first, last = by_length[0], by_length[-1]
        if runs[first].sequence_length != runs[last].sequence_length:
            found.append(Pair(f"{corpus} ({model})" if several else corpus, first, last))
    return found


def answer(values: Metrics, runs: Runs) -> list[str]:
    """What changed, whether both ends were trained alike, the cost, whether counting is beaten."""
    compared = pairs(values, runs)
    if not compared:
        return ["No corpus has results at two sequence lengths yet: there is nothing to compare."]
    sentences = [
        _quality(values, runs, compared),
        _training(values["details"]["training"], compared),
        _cost(values, compared),
        _counting(values, runs),
    ]
    return [sentence for sentence in sentences if sentence]


def _quality(values: Metrics, runs: Runs, compared: list[Pair]) -> str:
    lengths = {
        (runs[pair.shortest].sequence_length, runs[pair.longest].sequence_length)
        for pair in compared
    }
    test, several = values["test"], len(lengths) > 1
    changes, signs = [], set()
    for pair in compared:
        before, after = (test[name]["bits_per_byte"] for name in (pair.shortest, pair.longest))
        change = percent(100 * (after - before) / before, 1)
        signs.add(change[0])
        ends = runs[pair.shortest].sequence_length, runs[pair.longest].sequence_length
        place = f"{ends[0]:,} → {ends[1]:,} tokens, " if several else ""
        sure = _sure(values["details"]["differences"], pair)
        ends_shown = f"{number(before, 3)} → {number(after, 3)}"
        changes.append(f"{pair.label} {ends_shown} ({place}{change}{sure})")
    direction = {"+": "rise", "-": "fall", "0": "stay the same"}[signs.pop()]
    verb = "change" if signs else direction
    if several:
        begin = "From the shortest to the longest context"
    else:
        short, long = lengths.pop()
        begin = f"From {short:,} to {long:,} tokens of context"
    what = f"bits per byte of the test text (lower is better) {verb}: {_joined(changes)}"
    training = values["details"]["training"]
    ends_of_all = [name for pair in compared for name in (pair.shortest, pair.longest)]
    diverged = [name for name in ends_of_all if training[name]["diverged"]]
    return f"{begin}, {what}{f'; {_joined(diverged)} diverged' if diverged else ''}."


def _sure(found: Mapping[str, Any], pair: Pair) -> str:
    """The difference with its interval, and whether it is larger than its uncertainty."""
    splits = found.get(pair.longest, {}).get(pair.shortest, {})
    if "test" not in splits:
        return ""
    interval = splits["test"]
    half = number((interval["high"] - interval["low"]) / 2, 3)
    apart = told_apart(found, pair.longest, pair.shortest, "test")
    verdict = "" if apart else ": not to be told from none"
    return f", {interval['bits_per_byte']:+.3f} ± {half}{verdict}"


def _training(training: Mapping[str, Any], compared: list[Pair]) -> str:
    def at(key: str, end: Callable[[Pair], str]) -> list[float]:
        return [training[end(pair)][key] for pair in compared]

    def alike(key: str, within: float) -> bool:
        ends = zip(at(key, _shortest), at(key, _longest), strict=True)
        return all(abs(long - short) <= within * max(long, short) for short, long in ends)

    updates, tokens = (
        [span(at(key, end)) for end in (_shortest, _longest)] for key in ("updates", "tokens_seen")
    )
    if alike("updates", 0.0) and alike("tokens_seen", ALIKE):
        return f"Both ends made the same number of updates ({updates[0]}) on as many tokens."
    if alike("updates", 0.0):
        return (
            f"Equal updates ({updates[0]}) are not equal text: the shortest saw {tokens[0]} tokens "
            f"and the longest {tokens[1]}, so context alone does not explain the difference."
        )
    begin = (
        "Equal epochs are not equal updates"
        if alike("epochs", 0.0)
        else "Epochs and updates differ"
    )
    return (
        f"{begin}: the shortest made {updates[0]} and the longest {updates[1]}, "
        "so context alone does not explain the difference."
    )


def _cost(values: Metrics, compared: list[Pair]) -> str:
    timings = values["measured"]["timings"]["finetune"]
    processor = values["measured"]["machine"]["processor"]
    short, long = (
        span(timings[end(pair)]["tokens_per_second"] for pair in compared)
        for end in (_shortest, _longest)
    )
    speed = (
        f"Training runs at {short} tokens a second at the shortest and {long} at the longest "
        f"({processor}, {threads(values)})"
    )
    memory = _training_memory(values["details"]["memory"]["training"].values())
    memory = memory or _inference_memory(values)
    return f"{speed}; {memory}." if memory else f"{speed}."


def _counting(values: Metrics, runs: Runs) -> str:
    """How many runs score better than n-grams of their own training text, on both splits."""
    orders = {item["order"] for item in values["details"]["counts"].values()}
    parts = []
    for order in sorted(orders - {1}):
        found = [
            all(values[split][name]["bits_per_byte"] < bits for split, bits in level.items())
            for name, run in runs.items()
            if name in values["test"] and (level := _level(values, run.corpus, run.model, order))
        ]
        if found:
            parts.append(f"{sum(found)} of {len(found)} runs beat the {order}-gram")
    text = "of their own training text, on validation and test"
    return f"{_joined(parts)} {text}." if parts else ""


def _level(values: Metrics, corpus: str, model: str, order: int) -> dict[str, float]:
    """What a corpus's own n-grams score, by split; nothing where they were not counted."""
    wanted = {"corpus": corpus, "model": model, "order": order, "text": "own"}
    for name, item in values["details"]["counts"].items():
        if wanted.items() <= item.items():
            return {split: values[split][name]["bits_per_byte"] for split in ("validation", "test")}
    return {}


def _training_memory(points: Iterable[Mapping[str, Any]]) -> str:
    """What one model's training takes at its shortest and longest, at its smallest depth."""
    curves: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for point in points:
        curves.setdefault((point["curve"], point["layers"]), []).append(point)
    for (curve, layers), found in curves.items():
        ordered = sorted(found, key=lambda point: point["sequence_length"])
        if len(ordered) > 1:
            grown = _grown(ordered, "predicted_allocated_mib")
            what = f"`{curve}`, {layers} layers, batch {ordered[0]['batch_size']}"
            return f"the memory of an update is predicted to grow {grown} ({what})"
    return ""


def _inference_memory(values: Metrics) -> str:
    """What one model's forward pass takes at its shortest and longest."""
    memory = memory_rows(values)
    names = series_names(memory)
    series: dict[str, list[Mapping[str, Any]]] = {}
    for name, row in memory.items():
        if row["predicted_mib"] is not None:
            series.setdefault(names[name], []).append(row)
    for label, found in series.items():
        ordered = sorted(found, key=lambda row: row["sequence_length"])
        if ordered[0]["sequence_length"] != ordered[-1]["sequence_length"]:
            grown = _grown(ordered, "predicted_mib")
            what = f"{label}, batch {ordered[0]['batch_size']}"
            return f"the memory of a forward pass is predicted to grow {grown} ({what})"
    return ""


def _grown(ordered: list[Mapping[str, Any]], key: str) -> str:
    ends = [
        f"{number(point[key], 0)} MiB at {point['sequence_length']:,} tokens"
        for point in (ordered[0], ordered[-1])
    ]
    return f"from {ends[0]} to {ends[1]}"


def _shortest(pair: Pair) -> str:
    return pair.shortest


def _longest(pair: Pair) -> str:
    return pair.longest


def _joined(parts: list[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
