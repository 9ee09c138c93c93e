"""What each doubling of the length does to the score, in a sentence."""

from collections.abc import Sequence

from reformer_seqlen.reporting.doublings import Pair, a_doubling, by_seed, is_sure_doubling
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.scores import bounded, signed
from reformer_seqlen.reporting.seeds import score_of
from reformer_seqlen.reporting.table import joined, number


def quality(values: Metrics, compared: Sequence[Pair], runs: Runs) -> str:
    """By how much each doubling changes the score, corpus by corpus, and how sure that is.

    Where both ends were trained with several seeds, with what each of them gives.
    """
    lengths = {(pair.shortest.sequence_length, pair.longest.sequence_length) for pair in compared}
    place = " from {:,} to {:,} tokens".format(*lengths.pop()) if len(lengths) == 1 else ""
    changes = joined([_change(values, pair, runs, bool(place)) for pair in compared])
    return (
        f"each doubling of the context{place} changes bits per byte of the test text (lower is "
        f"better) by {changes}{_verdict(values, compared, runs)}"
    )


def _change(values: Metrics, pair: Pair, runs: Runs, of_equal_lengths: bool) -> str:
    scores = [score_of(values, point.names, "test") for point in pair.ends]
    bits = " → ".join(bounded(score, number(score["bits_per_byte"], 3)) for score in scores)
    lengths = " → ".join(f"{point.sequence_length:,}" for point in pair.ends)
    of = bits if of_equal_lengths else f"{lengths} tokens: {bits}"
    changes = [signed({"bits_per_byte": each}) for each in by_seed(values, pair, runs)]
    seeds = f"; by seed {joined(changes)}" if len(changes) > 1 else ""
    return f"{signed(a_doubling(values, pair))} in {pair.shortest.corpus} ({of}{seeds})"


def _verdict(values: Metrics, compared: Sequence[Pair], runs: Runs) -> str:
    """Whether the changes are larger than their uncertainty, where that is known."""
    known = [pair for pair in compared if "low" in a_doubling(values, pair)]
    sure = [it.shortest.corpus for it in known if is_sure_doubling(values, it, runs)]
    unsure = [it.shortest.corpus for it in known if it.shortest.corpus not in sure]
    if sure and unsure:
        return f": more than its uncertainty in {joined(sure)}, not in {joined(unsure)}"
    if sure or unsure:
        more = "more" if sure else "no more"
        return f": {more} than its uncertainty{' in each' if len(compared) > 1 else ''}"
    return ""
