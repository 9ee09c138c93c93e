"""The numbers behind the figure of quality against cost, as the lines of a CSV file."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from reformer_seqlen.reporting.grid import corpora_of
from reformer_seqlen.reporting.points import Point, Runs, points, trained_more_or_less
from reformer_seqlen.reporting.records import Card
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.reporting.run_lines import PLACE, Line
from reformer_seqlen.reporting.score_lines import INTERVAL, levels, scored_points
from reformer_seqlen.reporting.table import span

SECONDS, MEMORY = "seconds of training", "MiB of an update, batch {} (predicted)"
"""The costs, as the panels are headed: memory with the sequences of an update."""
COLUMNS = (*PLACE, *INTERVAL, "bound", "variant", "cost", "amount", "kind", "label_at")


def pareto_lines(results: Results, runs: Runs) -> list[Line]:
    """Each trained point against each cost that is known of it, and what counting scores.

    The figure finds the front: here a score that differs a little would make whole rows differ.
    """
    more_or_less = trained_more_or_less(runs)
    found = [point for point in points(runs) if not point.variant or point.name in more_or_less]
    lines: list[Line] = [COLUMNS]
    for cost in (SECONDS, MEMORY):
        for corpus in corpora_of(runs):
            own = [point for point in found if point.corpus == corpus]
            lines += _panel(results, corpus, own, cost)
    return lines


def _panel(results: Results, corpus: str, found: Sequence[Point], cost: str) -> Iterator[Line]:
    """The points of a corpus against one cost; nothing where that is known of none of them."""
    of_cost = _seconds if cost == SECONDS else _memory
    known = [
        (point, score, amount)
        for point, score in scored_points(results, found)
        if score[0] is not None and (amount := of_cost(results, point)) is not None
    ]
    kind = "measured" if cost == SECONDS else "predicted"
    heading = cost.format(span({each.batch_size for each in results.memory_training}))
    for point, score, amount in known:
        place = (point.name, corpus, point.model, point.sequence_length)
        yield *place, *score, point.variant, heading, amount, kind, None
    if known:
        bits = [each for _, score, *_ in known for each in score if isinstance(each, float)]
        for name, label, score, label_at in levels(results, corpus, bits):
            yield name, corpus, label, None, *score, "", heading, None, "counted", label_at


def _seconds(results: Results, point: Point) -> float | None:
    return fmean(results.timings[name].runtime_seconds for name in point.names)


def _memory(results: Results, point: Point) -> float | None:
    """What an update of the point's model takes at its length, where it was predicted.

    At the model's own depth if that is there, else at the smallest.
    """
    found = {
        each.layers: each.predicted_allocated_mib
        for each in results.memory_training
        if (each.curve, each.sequence_length) == (point.model, point.sequence_length)
    }
    card = results.cards.get(point.model)
    return found.get(_depth(card), found[min(found)]) if found else None


def _depth(card: Card | None) -> int:
    if card is None:
        return 0
    return card.layers if isinstance(card.layers, int) else len(card.layers)
