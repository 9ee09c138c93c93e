"""What each doubling of the length changes: in quality, in speed, in memory.

The shortest and the longest point of a line are compared, and the difference is shared out evenly
over the doublings between them. The first model's plain line is told in sentences, all lines in a
table.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from reformer_seqlen.reporting.differences import difference_on_test, is_sure
from reformer_seqlen.reporting.grid import corpora_of
from reformer_seqlen.reporting.memory_tables import memory_rows, series_names
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import UNTRAINED, Point, Runs, first_shown, points
from reformer_seqlen.reporting.run_tables import DIVERGED, DIVERGED_NOTE, threads
from reformer_seqlen.reporting.scores import bounded, signed
from reformer_seqlen.reporting.seeds import score_of, scored
from reformer_seqlen.reporting.table import (
    NOTHING,
    Table,
    joined,
    number,
    percent,
    significant,
    span,
)

ALIKE = 0.03
"""Relative; tokens seen differ by less where the last batch of an epoch is smaller."""
UNSURE = " ≈"
NOTES = {
    UNSURE: "≈ No more than its uncertainty: the interval holds 0.",
    DIVERGED: DIVERGED_NOTE,
}
"""What the marks in a table mean."""


@dataclass(frozen=True)
class Pair:
    """The shortest and the longest point of a line."""

    shortest: Point
    longest: Point

    @property
    def doublings(self) -> float:
        """How often the shortest length doubles to the longest."""
        return math.log2(self.longest.sequence_length / self.shortest.sequence_length)


def pairs(values: Metrics, runs: Runs) -> list[Pair]:
    """One for every line that has scores at two lengths, in the order of the runs."""
    lines: dict[tuple[str, str], list[Point]] = {}
    for point in points(first_shown(runs), scored(values, runs)):
        lines.setdefault((point.corpus, point.label), []).append(point)
    found = [Pair(min(line, key=_length), max(line, key=_length)) for line in lines.values()]
    return [pair for pair in found if pair.doublings]


def quality(values: Metrics, compared: Sequence[Pair], runs: Runs) -> str:
    """By how much each doubling changes the score, corpus by corpus, and how sure that is.

    Where both ends were trained with several seeds, with what each of them gives.
    """
    lengths = {(_length(pair.shortest), _length(pair.longest)) for pair in compared}
    place = " from {:,} to {:,} tokens".format(*lengths.pop()) if len(lengths) == 1 else ""
    changes = joined([_change(values, pair, runs, bool(place)) for pair in compared])
    return (
        f"each doubling of the context{place} changes bits per byte of the test text (lower is "
        f"better) by {changes}{_verdict(values, compared)}"
    )


def doublings_table(values: Metrics, runs: Runs) -> Table:
    """A row for each line of several lengths: what a doubling changes, corpus by corpus."""
    found = pairs(values, runs)
    corpora = [name for name in corpora_of(runs) if name in {it.shortest.corpus for it in found}]
    lines: dict[tuple[str, str], list[Pair]] = {}
    for pair in found:
        lengths = f"{_length(pair.shortest):,} → {_length(pair.longest):,}"
        lines.setdefault((pair.shortest.label, lengths), []).append(pair)
    rows = [
        [*line, *_by_corpus(values, own, corpora), _updates(values, own), _speed(values, own)]
        for line, own in lines.items()
    ]
    return Table(
        "doublings",
        "What each doubling of the context changes",
        ["model", "seq len", *corpora, "updates", "tokens a second"],
        rows,
        notes=[
            note for mark, note in NOTES.items() if any(mark in it for row in rows for it in row)
        ],
        labels=2,
        intro=_intro(values, found),
    )


def _intro(values: Metrics, found: Sequence[Pair]) -> str:
    trained = [pair for pair in found if pair.shortest.variant != UNTRAINED]
    fair = trained and all(alike(values, [pair])[0] for pair in trained)
    equal = ", at equal updates and equal text" if fair else ""
    return (
        "What each doubling of the context adds to the bits per byte of the test text (below 0, it "
        f"pays){equal}; and the speed of training at the shortest and the longest."
    )


def _by_corpus(values: Metrics, line: Sequence[Pair], corpora: Sequence[str]) -> list[str]:
    shown = {}
    for pair in line:
        known = difference_on_test(values, pair.longest, pair.shortest)
        unsure = UNSURE if "low" in known and not is_sure(known) else NOTHING
        diverged = DIVERGED if diverged_ends(values, [pair]) else NOTHING
        shown[pair.shortest.corpus] = _a_doubling(values, pair) + unsure + diverged
    return [shown.get(corpus, NOTHING) for corpus in corpora]


def _updates(values: Metrics, line: Sequence[Pair]) -> str:
    """How many updates each length made; of both ends, where they differ."""
    if line[0].shortest.variant == UNTRAINED:
        return NOTHING
    ends = [
        span(values["details"]["training"][end(pair).name]["updates"] for pair in line)
        for end in (_shortest, _longest)
    ]
    return " → ".join(dict.fromkeys(ends))


def _speed(values: Metrics, line: Sequence[Pair]) -> str:
    """Tokens a second in training at both ends, in the mean over the corpora."""
    if line[0].shortest.variant == UNTRAINED:
        return NOTHING
    ends = zip(*_speeds(values, line), strict=True)
    return " → ".join(significant(fmean(end)) for end in ends)


def _change(values: Metrics, pair: Pair, runs: Runs, of_equal_lengths: bool) -> str:
    ends = (pair.shortest, pair.longest)
    scores = [score_of(values, point.names, "test") for point in ends]
    bits = " → ".join(bounded(score, number(score["bits_per_byte"], 3)) for score in scores)
    lengths = " → ".join(f"{_length(point):,}" for point in ends)
    of = bits if of_equal_lengths else f"{lengths} tokens: {bits}"
    by_seed = [signed({"bits_per_byte": each}) for each in _by_seed(values, pair, runs)]
    seeds = f"; by seed {joined(by_seed)}" if len(by_seed) > 1 else ""
    return f"{_a_doubling(values, pair)} in {pair.shortest.corpus} ({of}{seeds})"


def _by_seed(values: Metrics, pair: Pair, runs: Runs) -> list[float]:
    """The change of each doubling by every seed that both ends were trained with."""
    short, long = (
        {
            run.train.get("seed"): values["test"][name]["bits_per_byte"]
            for name, run in ((name, runs[name]) for name in end.names)
            if not isinstance(run.train, str)
        }
        for end in (pair.shortest, pair.longest)
    )
    return [(long[seed] - short[seed]) / pair.doublings for seed in short if seed in long]


def _a_doubling(values: Metrics, pair: Pair) -> str:
    """The change of each doubling, with half of its interval."""
    change = difference_on_test(values, pair.longest, pair.shortest)
    return signed({key: it / pair.doublings for key, it in change.items()})


def _verdict(values: Metrics, compared: Sequence[Pair]) -> str:
    """Whether the changes are larger than their uncertainty, where that is known."""
    known = {
        pair.shortest.corpus: difference_on_test(values, pair.longest, pair.shortest)
        for pair in compared
    }
    sure = [corpus for corpus, it in known.items() if is_sure(it)]
    unsure = [corpus for corpus, it in known.items() if "low" in it and corpus not in sure]
    if sure and unsure:
        return f": more than its uncertainty in {joined(sure)}, not in {joined(unsure)}"
    if sure or unsure:
        more = "more" if sure else "no more"
        return f": {more} than its uncertainty{' in each' if len(compared) > 1 else ''}"
    return ""


def alike(values: Metrics, compared: Sequence[Pair]) -> tuple[str, str]:
    """What both ends have in common, and what to warn of where that is too little."""
    training = values["details"]["training"]

    def at(key: str, end: Callable[[Pair], Point]) -> list[float]:
        return [training[end(pair).name][key] for pair in compared]

    def equal(key: str, within: float) -> bool:
        ends = zip(at(key, _shortest), at(key, _longest), strict=True)
        return all(abs(long - short) <= within * max(long, short) for short, long in ends)

    updates, tokens = (
        [span(at(key, end)) for end in (_shortest, _longest)] for key in ("updates", "tokens_seen")
    )
    if equal("updates", 0.0) and equal("tokens_seen", ALIKE):
        return f"at equal updates ({updates[0]}) and equal text", ""
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
    ends = [name for pair in compared for it in (pair.shortest, pair.longest) for name in it.names]
    return [name for name in ends if training[name]["diverged"]]


def cost(values: Metrics, compared: Sequence[Pair]) -> str:
    """What each doubling does to the speed of training and to memory."""
    speeds, logarithms = _speeds(values, compared), _speed_changes(values, compared)
    change, lowest, highest = (
        percent(100 * math.expm1(each), 1)
        for each in (fmean(logarithms), min(logarithms), max(logarithms))
    )
    if lowest != highest:  # each time was taken once: how sure is it?
        change += f" ({lowest} to {highest} by corpus)"
    ends = " → ".join(significant(fmean(end)) for end in zip(*speeds, strict=True))
    processor = values["measured"]["machine"]["processor"]
    speed = (
        f"Each doubling changes the speed of training by {change}, {ends} tokens a second on "
        f"{processor}, {threads(values)},"
    )
    curves = values["details"]["memory"]["training"].values()
    unlike = ", unlike in these runs" if alike(values, compared)[0] else ""
    model = compared[0].shortest.model
    memory = _training_memory(curves, model, unlike) or _inference_memory(values)
    return f"{speed} and multiplies {memory}." if memory else f"{speed.rstrip(',')}."


def _speeds(values: Metrics, compared: Sequence[Pair]) -> list[list[float]]:
    """Tokens a second in training, at the shortest and the longest length of each line."""
    timings = values["measured"]["timings"]["finetune"]
    return [
        [timings[point.name]["tokens_per_second"] for point in (pair.shortest, pair.longest)]
        for pair in compared
    ]


def _speed_changes(values: Metrics, compared: Sequence[Pair]) -> list[float]:
    """The logarithm of what each doubling multiplies the speed of training by, of each line."""
    return [
        math.log(after / before) / pair.doublings
        for pair, (before, after) in zip(compared, _speeds(values, compared), strict=True)
    ]


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


def _length(point: Point) -> int:
    return point.sequence_length


def _shortest(pair: Pair) -> Point:
    return pair.shortest


def _longest(pair: Pair) -> Point:
    return pair.longest
