"""The two ends of every line of lengths, and what lies between them.

The shortest and the longest point of a line are compared, and the difference is shared out evenly
over the doublings between them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from reformer_seqlen.reporting.differences import difference_on_test, is_sure
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import UNTRAINED, Point, Runs, first_shown, points
from reformer_seqlen.reporting.seeds import scored
from reformer_seqlen.reporting.table import joined, number, span
from reformer_seqlen.reporting.timings import tokens_per_second

ALIKE = 0.03
"""Relative; tokens seen differ by less where the last batch of an epoch is smaller."""


@dataclass(frozen=True)
class Pair:
    """The shortest and the longest point of a line."""

    shortest: Point
    longest: Point

    @property
    def ends(self) -> tuple[Point, Point]:
        """Both."""
        return self.shortest, self.longest

    @property
    def is_trained(self) -> bool:
        """Whether it was trained here."""
        return self.shortest.variant != UNTRAINED

    @property
    def doublings(self) -> float:
        """How often the shortest length doubles to the longest."""
        return math.log2(self.longest.sequence_length / self.shortest.sequence_length)


def pairs(values: Metrics, runs: Runs) -> list[Pair]:
    """One for every line that has scores at two lengths, in the order of the runs."""
    lines: dict[tuple[str, str, int | None], list[Point]] = {}
    for point in points(first_shown(runs), scored(values, runs)):
        lines.setdefault((point.corpus, point.label, point.stride), []).append(point)
    by_length = attrgetter("sequence_length")
    found = [Pair(min(line, key=by_length), max(line, key=by_length)) for line in lines.values()]
    return [pair for pair in found if pair.doublings]


def a_doubling(values: Metrics, pair: Pair) -> dict[str, float]:
    """By how much each doubling changes bits per byte, with `low` and `high` where known."""
    change = difference_on_test(values, pair.longest, pair.shortest)
    return {key: it / pair.doublings for key, it in change.items()}


def by_seed(values: Metrics, pair: Pair, runs: Runs) -> list[float]:
    """The change of each doubling by every seed that both ends were trained with."""
    short, long = (
        {
            run.train.get("seed"): values["test"][name]["bits_per_byte"]
            for name, run in ((name, runs[name]) for name in end.names)
            if not isinstance(run.train, str)
        }
        for end in pair.ends
    )
    return [(long[seed] - short[seed]) / pair.doublings for seed in short if seed in long]


def is_sure_doubling(values: Metrics, pair: Pair, runs: Runs) -> bool:
    """Whether a doubling changes the score by more than its uncertainty, alike with every seed."""
    change = a_doubling(values, pair)
    seeds = by_seed(values, pair, runs)
    agree = all(each * change["bits_per_byte"] > 0 for each in seeds) if len(seeds) > 1 else True
    return is_sure(change) and agree


def alike(values: Metrics, compared: Sequence[Pair]) -> tuple[str, str]:
    """What both ends have in common, and what to warn of where that is too little."""
    training = values["details"]["training"]

    def at_ends(key: str) -> list[tuple[float, float]]:
        return [
            (training[it.shortest.name][key], training[it.longest.name][key]) for it in compared
        ]

    def equal(key: str, within: float) -> bool:
        ends = at_ends(key)
        return all(abs(long - short) <= within * max(long, short) for short, long in ends)

    updates, tokens = (
        [span(end) for end in zip(*at_ends(key), strict=True)] for key in ("updates", "tokens_seen")
    )
    if equal("updates", 0.0) and equal("tokens_seen", ALIKE):
        made = list(dict.fromkeys(number(it, 0) for it, _ in at_ends("updates")))
        return f"at equal updates ({joined(made)}) and equal text", ""
    if equal("updates", 0.0):
        return "", (
            f"Equal updates ({updates[0]}) are not equal text: the shortest saw {tokens[0]} tokens "
            f"and the longest {tokens[1]}, so context alone does not explain the difference."
        )
    begin = (
        "Equal epochs are not equal updates"
        if equal("epochs", 0.0)
        else "Epochs and updates differ"
    )
    return "", (
        f"{begin}: the shortest made {updates[0]} and the longest {updates[1]}, "
        "so context alone does not explain the difference."
    )


def diverged_ends(values: Metrics, compared: Sequence[Pair]) -> list[str]:
    """The runs that diverged at either end of some lines."""
    training = values["details"]["training"]
    ends = [name for pair in compared for it in pair.ends for name in it.names]
    return [name for name in ends if training[name]["diverged"]]


def speeds(values: Metrics, compared: Sequence[Pair]) -> list[list[float]]:
    """Tokens a second in training, at the shortest and the longest length of each line."""
    return [[tokens_per_second(values, point) for point in pair.ends] for pair in compared]
