"""Which length to take for each corpus, on this machine and with this much training."""

from collections.abc import Sequence
from functools import partial

from reformer_seqlen.reporting.differences import bits_on_test, difference_on_test, told_apart
from reformer_seqlen.reporting.grid import corpora_of
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import UNTRAINED, Point, Runs, first_shown, points
from reformer_seqlen.reporting.scores import shown_score, signed
from reformer_seqlen.reporting.seeds import score_of, scored
from reformer_seqlen.reporting.table import clock, number, significant
from reformer_seqlen.reporting.timings import tokens_per_second, training_seconds


def advice(values: Metrics, runs: Runs) -> list[str]:
    """A sentence for each corpus that has trained runs of several lengths.

    To take: the shortest length whose bits per byte of the test text can't be told from the best,
    and of its models the fastest in training.
    """
    shown = first_shown(runs)
    found = [it for it in points(shown, scored(values, runs)) if it.variant != UNTRAINED]
    several = len({point.label for point in found}) > 1
    sentences = []
    for corpus in corpora_of(shown):
        own = [point for point in found if point.corpus == corpus]
        if len({point.sequence_length for point in own}) > 1:
            sentences.append(_sentence(values, own, several))
    return sentences


def _sentence(values: Metrics, found: Sequence[Point], several: bool) -> str:
    known = values["details"]["differences"]

    def named(point: Point) -> str:
        length = f"{number(point.sequence_length, 0)} tokens"
        return f"`{point.label}` at {length}" if several else length

    def worse(point: Point, than: Point) -> str:
        return signed(difference_on_test(values, point, than))

    best = min(found, key=partial(bits_on_test, values))
    as_good = [it for it in found if told_apart(known, it.name, best.name, "test") is False]
    taken = min(
        [best, *as_good], key=lambda it: (it.sequence_length, -tokens_per_second(values, it))
    )
    score = shown_score(score_of(values, taken.names, "test"))
    if taken is best:
        next_best = min((it for it in found if it is not best), key=partial(bits_on_test, values))
        reason = f"scores best (next: {named(next_best)}, {worse(next_best, best)})"
    else:
        reason = f"can't be told from the best ({named(best)}: {worse(best, taken)})"
    training = values["details"]["training"][taken.name]
    seconds = training_seconds(values, taken)
    whole = clock(round(seconds)).removesuffix(".00")
    fastest = max(found, key=lambda it: tokens_per_second(values, it))
    pace = f"{significant(tokens_per_second(values, taken))} tokens a second"
    if tokens_per_second(values, fastest) > tokens_per_second(values, taken):
        pace += f" (fastest: {named(fastest)}, {significant(tokens_per_second(values, fastest))})"
    return (
        f"For {taken.corpus}, on this machine and with {number(training['updates'], 0)} updates "
        f"({whole}), take {named(taken)}: {score} bits per byte {reason}, at {pace}."
    )
