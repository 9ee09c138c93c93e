"""The study's answer in a few sentences, of its metrics alone: what a longer context changed."""

from collections.abc import Sequence

from reformer_seqlen.reporting.against_counting import against_counting
from reformer_seqlen.reporting.context_use import context_use
from reformer_seqlen.reporting.cost import cost
from reformer_seqlen.reporting.differences import difference_on_test
from reformer_seqlen.reporting.doublings import Pair, alike, diverged_ends, is_sure_doubling, pairs
from reformer_seqlen.reporting.gap_tables import published_gap
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.more_training import more_training
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.quality import quality
from reformer_seqlen.reporting.rivals import rivals, standing
from reformer_seqlen.reporting.table import joined

NOTHING_TO_COMPARE = (
    "No corpus has results at two sequence lengths that were trained alike yet: there are no "
    "lengths to compare."
)


def verdict(values: Metrics, runs: Runs) -> str:
    """Whether the longest context scores better than the shortest, in one sentence.

    Of lines that were trained alike and did not diverge, and of untrained ones. Nothing where the
    uncertainty of no comparison is known.
    """
    tried: dict[str, list[tuple[float, bool]]] = {"trained here": [], "without training here": []}
    for pair in pairs(values, runs):
        change = difference_on_test(values, pair.longest, pair.shortest)
        fair = not alike(values, [pair])[1] and not diverged_ends(values, [pair])
        if "low" in change and (fair or not pair.is_trained):
            sure = is_sure_doubling(values, pair, runs)
            how = "trained here" if pair.is_trained else "without training here"
            tried[how].append((change["bits_per_byte"], sure))
    parts = [f"{how}, {_tally(found)}" for how, found in tried.items() if found]
    if not parts:
        return ""
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _tally(found: Sequence[tuple[float, bool]]) -> str:
    """How often the longest context is surely better or worse, of changes and whether so."""
    sure = [change for change, is_sure in found if is_sure]
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
        return [NOTHING_TO_COMPARE, *beside_doublings(values, runs)]
    first = _first_line(found)
    changed = [_changed(values, first, runs)] if first else []
    used = context_use(values, runs)
    return [*changed, *beside_doublings(values, runs), *([used] if used else [])]


def beside_doublings(values: Metrics, runs: Runs) -> list[str]:
    """Of the answer, what the table of doublings does not say."""
    first = _first_line(pairs(values, runs))
    sentences = [
        *([alike(values, first)[1], cost(values, first)] if first else []),
        more_training(values, runs),
        standing(values, rivals(values, runs)),
        against_counting(values, runs),
        published_gap(values),
    ]
    return [sentence for sentence in sentences if sentence]


def _first_line(found: Sequence[Pair]) -> list[Pair]:
    """Of what was trained here, the first model's first line, in every corpus."""
    trained = [pair for pair in found if pair.is_trained]
    return [pair for pair in trained if pair.shortest.label == trained[0].shortest.label]


def _changed(values: Metrics, compared: Sequence[Pair], runs: Runs) -> str:
    """What each doubling changes for the first model, and how comparable that is."""
    common, _ = alike(values, compared)
    sentence = f"{f'{common}, ' if common else ''}{quality(values, compared, runs)}"
    diverged = diverged_ends(values, compared)
    ended = f"; {joined(diverged)} diverged" if diverged else ""
    return f"{sentence[0].upper()}{sentence[1:]}{ended}."
