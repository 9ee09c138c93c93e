"""What each doubling of the length does to the score, in a sentence."""

from collections.abc import Sequence

from reformer_seqlen.reporting.differences import is_sure
from reformer_seqlen.reporting.doublings import Pair, a_doubling
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
        f"better) by {changes}{_verdict(values, compared)}"
    )


def _change(values: Metrics, pair: Pair, runs: Runs, of_equal_lengths: bool) -> str:
    scores = [score_of(values, point.names, "test") for point in pair.ends]
    bits = " → ".join(bounded(score, number(score["bits_per_byte"], 3)) for score in scores)
    lengths = " → ".join(f"{point.sequence_length:,}" for point in pair.ends)
    of = bits if of_equal_lengths else f"{lengths} tokens: {bits}"
    by_seed = [signed({"bits_per_byte": each}) for each in _by_seed(values, pair, runs)]
    seeds = f"; by seed {joined(by_seed)}" if len(by_seed) > 1 else ""
    return f"{signed(a_doubling(values, pair))} in {pair.shortest.corpus} ({of}{seeds})"


def _by_seed(values: Metrics, pair: Pair, runs: Runs) -> list[float]:
    """The change of each doubling by every seed that both ends were trained with."""
    short, long = (
        {
            run.train.get("seed"): values["test"][name]["bits_per_byte"]
            for name, run in ((name, runs[name]) for name in end.names)
            if not isinstance(run.train, str)
        }
        for end in pair.ends
    )
    return [(long[seed] - short[seed]) / pair.doublings for seed in short if seed in long]


def _verdict(values: Metrics, compared: Sequence[Pair]) -> str:
    """Whether the changes are larger than their uncertainty, where that is known."""
    known = {pair.shortest.corpus: a_doubling(values, pair) for pair in compared}
    sure = [corpus for corpus, it in known.items() if is_sure(it)]
    unsure = [corpus for corpus, it in known.items() if "low" in it and corpus not in sure]
    if sure and unsure:
        return f": more than its uncertainty in {joined(sure)}, not in {joined(unsure)}"
    if sure or unsure:
        more = "more" if sure else "no more"
        return f": {more} than its uncertainty{' in each' if len(compared) > 1 else ''}"
    return ""
