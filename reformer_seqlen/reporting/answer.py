"""The study's answer in a few sentences, of its metrics alone: what a longer context changed."""

from collections.abc import Mapping, Sequence

from reformer_seqlen.reporting.against_counting import against_counting
from reformer_seqlen.reporting.context_use import context_use
from reformer_seqlen.reporting.differences import difference_on_test, is_sure
from reformer_seqlen.reporting.doublings import Pair, alike, cost, in_short, pairs, quality
from reformer_seqlen.reporting.gap_tables import published_gap
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import UNTRAINED, Runs
from reformer_seqlen.reporting.rivals import rivals, standing
from reformer_seqlen.reporting.table import joined

NOTHING_TO_COMPARE = (
    "No corpus has results at two sequence lengths that were trained alike yet: there is nothing "
    "to compare."
)


def verdict(values: Metrics, runs: Runs) -> str:
    """Whether the longest context scores better than the shortest, in one sentence.

    Of lines that were trained alike and did not diverge, and of untrained ones. Nothing where the
    uncertainty of no comparison is known.
    """
    tried: dict[str, list[Mapping[str, float]]] = {"trained here": [], "without training here": []}
    for pair in pairs(values, runs):
        change = difference_on_test(values, pair.longest, pair.shortest)
        untrained = pair.shortest.variant == UNTRAINED
        fair = not alike(values, [pair])[1] and not _diverged(values, [pair])
        if "low" in change and (untrained or fair):
            tried["without training here" if untrained else "trained here"].append(change)
    parts = [f"{how}, {_tally(found)}" for how, found in tried.items() if found]
    if not parts:
        return ""
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _tally(found: Sequence[Mapping[str, float]]) -> str:
    """How often the longest context is surely better or worse."""
    sure = [each["bits_per_byte"] for each in found if is_sure(each)]
    counts = {
        "better": sum(change < 0 for change in sure),
        "worse": sum(change > 0 for change in sure),
        "not told apart": len(found) - len(sure),
    }
    shown = [f"{word} in {number}" for word, number in counts.items() if number]
    if len(found) == 1:
        [word] = [word for word, number in counts.items() if number]
        return f"the longest context is {word} {'from' if not sure else 'than'} the shortest"
    return f"the longest context is {joined(shown)} of {len(found)} comparisons with the shortest"


def answer(values: Metrics, runs: Runs) -> list[str]:
    """What a longer context changes, what it costs, and where other models and counting stand."""
    found = pairs(values, runs)
    if not found:
        return [NOTHING_TO_COMPARE]
    first, otherwise, _ = _trained(found)
    untrained = [pair for pair in found if pair.shortest.variant == UNTRAINED]
    sentences = [
        *(_of_training(values, first, runs) if first else []),
        _in_short(values, otherwise, "Trained otherwise, a doubling"),
        standing(values, rivals(values, runs)),
        _in_short(values, untrained, "Without training here, a doubling"),
        context_use(values, runs),
        against_counting(values, runs),
        published_gap(values),
    ]
    return [sentence for sentence in sentences if sentence]


def other_lines(values: Metrics, runs: Runs) -> list[str]:
    """What a longer context changes for models other than the first."""
    *_, others = _trained(pairs(values, runs))
    return [_in_short(values, others, "A doubling")] if others else []


def _trained(found: Sequence[Pair]) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """The lines that were trained: like the first, of its model otherwise, and of other models."""
    trained = [pair for pair in found if pair.shortest.variant != UNTRAINED]
    of_model = [pair for pair in trained if pair.shortest.model == trained[0].shortest.model]
    first = [pair for pair in of_model if pair.shortest.variant == trained[0].shortest.variant]
    otherwise = [pair for pair in of_model if pair not in first]
    return first, otherwise, [pair for pair in trained if pair not in of_model]


def _of_training(values: Metrics, compared: Sequence[Pair], runs: Runs) -> list[str]:
    """What each doubling changes for the first model, how comparable that is, what it costs."""
    common, warning = alike(values, compared)
    sentence = f"{f'{common}, ' if common else ''}{quality(values, compared, runs)}"
    diverged = _diverged(values, compared)
    ended = f"; {joined(diverged)} diverged" if diverged else ""
    first = sentence[0].upper() + sentence[1:]
    return [f"{first}{ended}.", warning, cost(values, compared)]


def _diverged(values: Metrics, compared: Sequence[Pair]) -> list[str]:
    """The runs that diverged at either end of some lines."""
    training = values["details"]["training"]
    ends = [name for pair in compared for it in (pair.shortest, pair.longest) for name in it.names]
    return [name for name in ends if training[name]["diverged"]]


def _in_short(values: Metrics, found: Sequence[Pair], begin: str) -> str:
    """What each doubling changes, a phrase for each line; nothing without any."""
    lines: dict[str, list[Pair]] = {}
    for pair in found:
        lines.setdefault(pair.shortest.label, []).append(pair)
    parts = [in_short(values, own) for own in lines.values()]
    return f"{begin} changes the bits per byte of {'; of '.join(parts)}." if parts else ""
