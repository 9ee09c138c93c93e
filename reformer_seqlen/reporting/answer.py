"""The study's answer in a few sentences, of its metrics alone: what a longer context changed."""

from collections.abc import Mapping, Sequence

from reformer_seqlen.reporting.differences import difference_on_test, is_sure
from reformer_seqlen.reporting.doublings import Pair, alike, cost, in_short, pairs, quality
from reformer_seqlen.reporting.gap_tables import published_gap
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import UNTRAINED, Runs, points, shown_with_more_training
from reformer_seqlen.reporting.rivals import rivals, standing
from reformer_seqlen.reporting.seeds import scored
from reformer_seqlen.reporting.table import joined

NOTHING_TO_COMPARE = (
    "No corpus has results at two sequence lengths that were trained alike yet: there is nothing "
    "to compare."
)


def verdict(values: Metrics, runs: Runs) -> str:
    """Whether the longest context scores better than the shortest, in one sentence.

    Of lines that were trained alike, and of untrained ones. Nothing where the uncertainty of no
    comparison is known.
    """
    tried: dict[str, list[Mapping[str, float]]] = {"trained here": [], "without training here": []}
    for pair in pairs(values, runs):
        change = difference_on_test(values, pair.longest, pair.shortest)
        untrained = pair.shortest.variant == UNTRAINED
        if "low" in change and (untrained or not alike(values, [pair])[1]):
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
    trained = [pair for pair in found if pair.shortest.variant != UNTRAINED]
    untrained = [pair for pair in found if pair.shortest.variant == UNTRAINED]
    if not found:
        return [NOTHING_TO_COMPARE]
    first = [pair for pair in trained if pair.shortest.label == trained[0].shortest.label]
    others = [pair for pair in trained if pair not in first]
    sentences = [
        *(_of_training(values, first) if first else []),
        standing(values, rivals(values, runs)),
        _other_lines(values, others, "A doubling"),
        _other_lines(values, untrained, "Without training here, a doubling"),
        _counting(values, runs),
        published_gap(values),
    ]
    return [sentence for sentence in sentences if sentence]


def _of_training(values: Metrics, compared: Sequence[Pair]) -> list[str]:
    """What each doubling changes for the first model, how comparable that is, what it costs."""
    common, warning = alike(values, compared)
    sentence = f"{f'{common}, ' if common else ''}{quality(values, compared)}"
    training = values["details"]["training"]
    ends = [name for pair in compared for it in (pair.shortest, pair.longest) for name in it.names]
    diverged = [name for name in ends if training[name]["diverged"]]
    ended = f"; {joined(diverged)} diverged" if diverged else ""
    first = sentence[0].upper() + sentence[1:]
    return [f"{first}{ended}.", warning, cost(values, compared)]


def _other_lines(values: Metrics, found: Sequence[Pair], begin: str) -> str:
    """What each doubling changes for other models, or for what is trained otherwise or not."""
    lines: dict[str, list[Pair]] = {}
    for pair in found:
        lines.setdefault(pair.shortest.label, []).append(pair)
    parts = [in_short(values, own) for own in lines.values()]
    return f"{begin} changes the bits per byte of {'; of '.join(parts)}." if parts else ""


def _counting(values: Metrics, runs: Runs) -> str:
    """How many runs score better than n-grams of their own training text, on both splits."""
    orders = {item["order"] for item in values["details"]["counts"].values()}
    trained = {
        name
        for point in points(shown_with_more_training(runs), scored(values))
        if point.variant != UNTRAINED
        for name in point.names
    }
    parts: list[str] = []
    for order in sorted(orders - {1}):
        found = [
            all(values[split][name]["bits_per_byte"] < bits for split, bits in level.items())
            for name, run in runs.items()
            if name in trained and (level := _level(values, run.corpus, run.model, order))
        ]
        if found:
            beat = "the" if parts else "runs beat the"
            parts.append(f"{sum(found)} of {len(found)} {beat} {order}-gram")
    text = "of their own training text, on validation and test"
    return f"{joined(parts)} {text}." if parts else ""


def _level(values: Metrics, corpus: str, model: str, order: int) -> dict[str, float]:
    """What a corpus's own n-grams score, by split; nothing where they were not counted.

    They are of the model's own pieces where those were counted: bits per byte may be compared
    across tokenizers.
    """
    counts = values["details"]["counts"]
    wanted = {"corpus": corpus, "order": order, "text": "own"}
    found = [name for name, item in counts.items() if wanted.items() <= item.items()]
    for name in sorted(found, key=lambda each: counts[each]["model"] != model)[:1]:
        return {split: values[split][name]["bits_per_byte"] for split in ("validation", "test")}
    return {}
