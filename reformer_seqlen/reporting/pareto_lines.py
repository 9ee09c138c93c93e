"""The numbers behind the figure of quality against cost, as the lines of a CSV file."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from reformer_seqlen.reporting.grid import corpora_of
from reformer_seqlen.reporting.points import UNTRAINED, Point, Runs, points, said_over
from reformer_seqlen.reporting.records import Card
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.reporting.run_lines import PLACE, Line
from reformer_seqlen.reporting.score_lines import INTERVAL, levels, scored_points

SECONDS, MEMORY = "seconds of training", "MiB of an update (predicted)"
"""The costs, as the panels are headed."""
AMOUNTS = {"updates", "tokens"}
"""Of training: with more or less of it, a run still belongs into the figure."""
COLUMNS = (
    *PLACE, *INTERVAL, "bound", "variant", "cost", "amount", "front", "kind", "label_at",
)  # fmt: skip


def pareto_lines(results: Results, runs: Runs) -> list[Line]:
    """Each trained point against each cost that is known of it, and what counting scores.

    A point is on the front where no other costs as little and scores as well.
    """
    found = [point for point in points(runs) if _belongs(point, runs)]
    lines: list[Line] = [COLUMNS]
    for cost in (SECONDS, MEMORY):
        for corpus in corpora_of(runs):
            own = [point for point in found if point.corpus == corpus]
            lines += _panel(results, corpus, own, cost)
    return lines


def _belongs(point: Point, runs: Runs) -> bool:
    return point.variant != UNTRAINED and said_over(runs[point.name]).keys() <= AMOUNTS


def _panel(results: Results, corpus: str, found: Sequence[Point], cost: str) -> Iterator[Line]:
    """The points of a corpus against one cost; nothing where that is known of none of them."""
    of_cost = _seconds if cost == SECONDS else _memory
    known = [
        (point, score, bits, amount)
        for point, score in scored_points(results, found)
        if isinstance(bits := score[0], float) and (amount := of_cost(results, point)) is not None
    ]
    places = [(amount, bits) for _, _, bits, amount in known]
    kind = "measured" if cost == SECONDS else "predicted"
    for point, score, bits, amount in known:
        place = (point.name, corpus, point.model, point.sequence_length)
        front = is_on_front((amount, bits), places)
        yield *place, *score, point.variant, cost, amount, front, kind, None
    if known:
        bits = [each for _, score, *_ in known for each in score if isinstance(each, float)]
        for name, label, score, label_at in levels(results, corpus, bits):
            yield name, corpus, label, None, *score, "", cost, None, None, "counted", label_at


def is_on_front(place: tuple[float, float], places: Sequence[tuple[float, float]]) -> bool:
    """Whether nothing costs as little and scores as well: cost and score of one and of all."""
    cost, score = place
    return not any(c <= cost and s <= score and (c, s) != place for c, s in places)


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
