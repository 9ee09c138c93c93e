"""Whether a longer context costs less the more a model was trained, in a sentence."""

from collections.abc import Iterator, Mapping

from reformer_seqlen.reporting.doublings import Pair, a_doubling, alike, diverged_ends
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Point, Runs, points, trained_more_or_less
from reformer_seqlen.reporting.scores import signed
from reformer_seqlen.reporting.seeds import scored
from reformer_seqlen.reporting.table import joined, number

MORE = 1.1
"""Times as many tokens, which the smaller last batches of epochs never make."""


def more_training(values: Metrics, runs: Runs) -> str:
    """What each doubling changes after less and after more training, between the same lengths.

    Of the first corpus and model that has both; nothing without any.
    """
    training = values["details"]["training"]

    def amount(pair: Pair) -> int:
        tokens: int = training[pair.shortest.name]["tokens_seen"]
        return tokens

    for both in _comparable(values, runs):
        less, more = sorted(both, key=amount)
        fair = not any(alike(values, [pair])[1] for pair in both)
        if not fair or diverged_ends(values, both) or amount(more) < MORE * amount(less):
            continue
        changes = [a_doubling(values, pair) for pair in (less, more)]
        after = [
            f"{signed(change)} after {number(training[pair.shortest.name]['updates'], 0)} updates "
            f"(`{pair.shortest.label}`)"
            for pair, change in zip((less, more), changes, strict=True)
        ]
        ends = [number(end.sequence_length, 0) for end in more.ends]
        return (
            f"In {more.shortest.corpus}, from {' to '.join(ends)} tokens, each doubling changes "
            f"bits per byte by {joined(after)}{_verdict(*changes)}."
        )
    return ""


def _comparable(values: Metrics, runs: Runs) -> Iterator[tuple[Pair, Pair]]:
    """Plain points and points that differ in AMOUNTS alone, at the lengths that both have."""
    lines: dict[tuple[str, str, str], dict[int, Point]] = {}
    otherwise = trained_more_or_less(runs)
    for point in points(runs, scored(values, runs)):
        if point.stride is None and (not point.variant or point.name in otherwise):
            place = (point.corpus, point.model, point.variant)
            lines.setdefault(place, {})[point.sequence_length] = point
    for (corpus, model, variant), line in lines.items():
        plain = lines.get((corpus, model, ""), {})
        common = {*plain} & {*line}
        if variant and len(common) > 1:
            short, long = min(common), max(common)
            yield Pair(plain[short], plain[long]), Pair(line[short], line[long])


def _verdict(less: Mapping[str, float], more: Mapping[str, float]) -> str:
    """Whether the change grows, shrinks or turns by more than its uncertainty."""
    if not ("low" in less and "low" in more):
        return ""
    if less["low"] <= more["high"] and more["low"] <= less["high"]:
        return ": no more apart than their uncertainty"
    if less["low"] > 0 > more["high"]:
        return ": from worse to better"
    if less["high"] < 0 < more["low"]:
        return ": from better to worse"
    (lowest, highest), (low, high) = (_sizes(change) for change in (less, more))
    if high < lowest:
        return ": surely a smaller change"
    return ": surely a larger change" if low > highest else ": surely another change"


def _sizes(change: Mapping[str, float]) -> tuple[float, float]:
    """Between which sizes, whatever the sign, a change surely is."""
    smaller, larger = sorted((abs(change["low"]), abs(change["high"])))
    return (0.0 if change["low"] < 0 < change["high"] else smaller), larger
