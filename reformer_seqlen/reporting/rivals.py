"""Models of other kinds, held against the study's first one at the same corpus and length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from reformer_seqlen.reporting.differences import difference_on_test, is_sure
from reformer_seqlen.reporting.doublings import ALIKE
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import UNTRAINED, Point, Runs, points
from reformer_seqlen.reporting.run_tables import DIVERGED, DIVERGED_NOTE
from reformer_seqlen.reporting.scores import signed
from reformer_seqlen.reporting.seeds import score_of, scored
from reformer_seqlen.reporting.table import NOTHING, Table, joined, span
from reformer_seqlen.reporting.timings import tokens_per_second, training_seconds

ATTEND_TO_ALL = {"bloom", "falcon", "gpt2", "gpt_neox", "gptj", "llama", "opt", "qwen2", "qwen3"}
"""Kinds whose every position sees all of its past, as transformers calls them."""
LINE = "\n  - "
"""Of a list within a list, in Markdown."""
UNSURE = " ≈"
NOTES = {
    UNSURE: "≈ No more than its uncertainty, or than the seeds of one model are apart.",
    DIVERGED: DIVERGED_NOTE,
}
"""What the marks in the table mean."""
EQUAL_SECONDS = 0.1
"""Relative: trainings that differ by less took the same time."""


@dataclass(frozen=True)
class Rival:
    """Another model's point, and what it is to the first model's plain one.

    Attributes:
        other: the first model's.
        difference: by how much its bits per byte are above; with `low` and `high` where both were
            scored on the same targets.
        of_seeds: how far apart the seeds of one of them are, in bits per byte; 0 with one each.
        speed: its tokens a second in training, over the other's.
        seconds: of its training, over the other's.
        equal_updates: whether both made as many updates of as much text.
        diverged: whether a run of one of them did.
    """

    point: Point
    other: Point
    difference: Mapping[str, float]
    of_seeds: float
    speed: float
    seconds: float
    equal_updates: bool
    diverged: bool

    @property
    def is_told_apart(self) -> bool:
        """Whether they differ by more than the uncertainty, and by more than seeds do."""
        return is_sure(self.difference) and abs(self.difference["bits_per_byte"]) > self.of_seeds

    @property
    def equal_seconds(self) -> bool:
        """Whether both were trained for the same time."""
        return abs(self.seconds - 1) <= EQUAL_SECONDS


def rivals(values: Metrics, runs: Runs) -> list[Rival]:
    """Every trained point of another model that stands beside one of the first model."""
    found = [
        point
        for point in points(runs, scored(values, runs))
        if point.variant != UNTRAINED and point.stride is None
    ]
    first = next((point.model for point in found), None)
    beside = {
        (point.corpus, point.sequence_length): point
        for point in found
        if point.model == first and not point.variant
    }
    return [
        _rival(values, point, beside[point.corpus, point.sequence_length])
        for point in found
        if point.model != first and (point.corpus, point.sequence_length) in beside
    ]


def _rival(values: Metrics, point: Point, other: Point) -> Rival:
    training = values["details"]["training"]
    updates = [training[each.name]["updates"] for each in (point, other)]
    tokens = [training[each.name]["tokens_seen"] for each in (point, other)]
    scores = [score_of(values, each.names, "test") for each in (point, other)]
    return Rival(
        point,
        other,
        difference=difference_on_test(values, point, other),
        of_seeds=max(it.get("highest", 0.0) - it.get("lowest", 0.0) for it in scores),
        speed=tokens_per_second(values, point) / tokens_per_second(values, other),
        seconds=training_seconds(values, point) / training_seconds(values, other),
        equal_updates=updates[0] == updates[1] and max(tokens) - min(tokens) <= ALIKE * max(tokens),
        diverged=any(training[name]["diverged"] for each in (point, other) for name in each.names),
    )


def standing(values: Metrics, found: Sequence[Rival]) -> str:
    """Where other models stand, in a sentence, several on a line each; nothing without any."""
    plain: dict[str, list[Rival]] = {}
    for rival in found:
        if not rival.point.variant and not rival.diverged:
            plain.setdefault(rival.point.model, []).append(rival)
    if not plain:
        return ""
    alike = all(rival.equal_updates for each in plain.values() for rival in each)
    parts = [f"{_named(values, model)} {_beside(each)}" for model, each in plain.items()]
    timed = [it for it in found if it.point.variant and it.equal_seconds and not it.diverged]
    if timed:
        names = joined([f"`{name}`" for name in dict.fromkeys(it.point.model for it in timed)])
        parts.append(f"trained for equal seconds, {names} {_scores(timed)}")
    place = f"`{found[0].other.model}` at the same length{' and updates' if alike else ''}"
    begin = f"Beside {place}"
    return (
        f"{begin}, {parts[0]}." if len(parts) == 1 else f"{begin}:{LINE}{f';{LINE}'.join(parts)}."
    )


def _named(values: Metrics, model: str) -> str:
    card: Mapping[str, Any] = values["details"]["models"].get(model, {})
    kind = " (full attention)" if card.get("model_type") in ATTEND_TO_ALL else ""
    return f"`{model}`{kind}"


def _beside(found: Sequence[Rival]) -> str:
    """How one model scores beside the first one, how fast, and where that took as long."""
    lengths = sorted({rival.point.sequence_length for rival in found})
    speeds = []
    for length in dict.fromkeys((lengths[0], lengths[-1])):
        ratio = fmean(it.speed for it in found if it.point.sequence_length == length)
        speeds.append(f"{ratio:.2f} ({length:,} tokens)")
    equal = sorted({it.point.sequence_length for it in found if it.equal_seconds})
    text = f"{_scores(found)}, at {' to '.join(speeds)} times its speed"
    if not equal:
        return text
    return f"{text} (equal seconds, too, with {joined([f'{it:,}' for it in equal])})"


def _scores(found: Sequence[Rival]) -> str:
    changes = [rival.difference["bits_per_byte"] for rival in found]
    low, high = min(changes), max(changes)
    sure = sum(rival.is_told_apart for rival in found)
    if low < 0 < high:
        shown = f"{-low:.3f} bits per byte better to {high:.3f} worse"
    else:
        size = span((abs(low), abs(high)), 3)
        shown = f"{size} bits per byte {'better' if low < 0 else 'worse'}"
    return f"is {shown} (told apart in {sure} of {len(found)})"


def rivals_table(found: Sequence[Rival]) -> Table:
    """A row for each line and length of another model: differences by corpus, and the cost."""
    corpora = list(dict.fromkeys(rival.point.corpus for rival in found))
    rows = []
    order = list(dict.fromkeys(rival.point.label for rival in found))
    places = {(order.index(it.point.label), it.point.sequence_length) for it in found}
    for number, length in sorted(places):
        place = (order[number], length)
        own = [it for it in found if (it.point.label, it.point.sequence_length) == place]
        rows.append([order[number], str(length), *_cells(own, corpora)])
    headers = ["model", "seq len", *corpora, "speed", "seconds", "equal"]
    other = f"`{found[0].other.model}`" if found else NOTHING
    intro = (
        f"By how much each model's bits per byte of the test text are above those of {other} at "
        "the same length: below 0 is better. Speed (tokens a second) and seconds of training are "
        f"ratios to {other}; `equal` says what both were given as much of (seconds: within "
        f"{EQUAL_SECONDS:.0%})."
    )
    cells = [cell for row in rows for cell in row]
    notes = [note for mark, note in NOTES.items() if any(mark in cell for cell in cells)]
    return Table("rivals", "Where other models stand", headers, rows, notes, labels=2, intro=intro)


def _cells(found: Sequence[Rival], corpora: Sequence[str]) -> list[str]:
    at = {
        rival.point.corpus: signed(rival.difference)
        + (UNSURE if "low" in rival.difference and not rival.is_told_apart else NOTHING)
        + (DIVERGED if rival.diverged else NOTHING)
        for rival in found
    }
    equal = {
        "updates": all(rival.equal_updates for rival in found),
        "seconds": all(rival.equal_seconds for rival in found),
    }
    return [
        *(at.get(corpus, NOTHING) for corpus in corpora),
        span((rival.speed for rival in found), 2),
        span((rival.seconds for rival in found), 2),
        " and ".join(what for what, is_equal in equal.items() if is_equal),
    ]
