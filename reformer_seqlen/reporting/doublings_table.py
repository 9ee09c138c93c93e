"""What each doubling of the length changes for every line of runs, in a table."""

from collections.abc import Sequence
from statistics import fmean

from reformer_seqlen.reporting.doublings import (
    Pair,
    a_doubling,
    alike,
    diverged_ends,
    is_sure_doubling,
    pairs,
    speeds,
)
from reformer_seqlen.reporting.grid import corpora_of
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.run_tables import DIVERGED, DIVERGED_NOTE
from reformer_seqlen.reporting.scores import signed
from reformer_seqlen.reporting.table import NOTHING, Table, number, significant

UNSURE = " ≈"
UNLIKE = " ‡"
NOTES = {
    UNSURE: "≈ No more than its uncertainty: the interval holds 0, or seeds do not agree.",
    UNLIKE: "‡ Not of equal updates and equal text: context alone does not explain it.",
    DIVERGED: DIVERGED_NOTE,
}
"""What the marks in the table mean."""


def doublings_table(values: Metrics, runs: Runs) -> Table:
    """A row for each line of several lengths: what a doubling changes, corpus by corpus."""
    found = pairs(values, runs)
    corpora = [name for name in corpora_of(runs) if name in {it.shortest.corpus for it in found}]
    lines: dict[tuple[str, str], list[Pair]] = {}
    for pair in found:
        lengths = f"{pair.shortest.sequence_length:,} → {pair.longest.sequence_length:,}"
        lines.setdefault((pair.shortest.label, lengths), []).append(pair)
    rows = [
        [*line, *_by_corpus(values, own, corpora, runs), _updates(values, own), _speed(values, own)]
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
    trained = [pair for pair in found if pair.is_trained]
    fair = trained and all(alike(values, [pair])[0] for pair in trained)
    equal = ", at equal updates and equal text" if fair else ""
    speed = "; and the speed of training at the shortest and the longest" if trained else ""
    return (
        "What each doubling of the context adds to the bits per byte of the test text (below 0, it "
        f"pays){equal}{speed}. Lines of other lengths are not to be compared: short ones may be "
        "steeper."
    )


def _by_corpus(
    values: Metrics, line: Sequence[Pair], corpora: Sequence[str], runs: Runs
) -> list[str]:
    shown = {}
    for pair in line:
        known = a_doubling(values, pair)
        marks = {
            UNSURE: "low" in known and not is_sure_doubling(values, pair, runs),
            UNLIKE: pair.is_trained and bool(alike(values, [pair])[1]),
            DIVERGED: bool(diverged_ends(values, [pair])),
        }
        shown[pair.shortest.corpus] = signed(known) + "".join(it for it in marks if marks[it])
    return [shown.get(corpus, NOTHING) for corpus in corpora]


def _updates(values: Metrics, line: Sequence[Pair]) -> str:
    """How many updates each length made: of both ends and of all corpora, where they differ."""
    if not line[0].is_trained:
        return NOTHING
    training = values["details"]["training"]
    made = []
    for pair in line:
        ends = [number(training[point.name]["updates"], 0) for point in pair.ends]
        made.append(" → ".join(dict.fromkeys(ends)))
    return " / ".join(made if len({*made}) > 1 else made[:1])


def _speed(values: Metrics, line: Sequence[Pair]) -> str:
    """Tokens a second in training at both ends, in the mean over the corpora."""
    if not line[0].is_trained:
        return NOTHING
    ends = zip(*speeds(values, line), strict=True)
    return " → ".join(significant(fmean(end)) for end in ends)
