"""The tables of scores: more measures of every run, and the same models scored in other ways.

Everything here is pure: metrics and the runs of params.yaml in, tables out.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, geometric_mean
from typing import Any

from reformer_seqlen.reporting.differences import is_sure
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Point, Runs, points
from reformer_seqlen.reporting.run_tables import ALIKE, SPLITS
from reformer_seqlen.reporting.scores import bound_note, bounded, shown_score, signed
from reformer_seqlen.reporting.seeds import score_of, scored
from reformer_seqlen.reporting.table import NOTHING, Table, number, span

SPLIT = "test"
OWN = "as trained"
IN_BRACKETS = "In brackets, by how much that is above the run's own score of the same text."
ALIKE_NOTE = "≈ Can't be told from the run's own score: the interval of the difference holds 0."
MEASURES = {
    "accuracy": "Accuracy is the share of pieces that the model finds likeliest.",
    "word perplexity": (
        "Perplexity per word is that of a text of words, and like bits per byte it may be compared "
        "across tokenizers."
    ),
    "seeds": (
        "`seeds`: of how many trainings from the same base a score is the mean, and from the "
        "lowest to the highest of their test scores in bits per byte."
    ),
}
"""Columns that are shown where something is known of them, and what each is."""


def score_tables(values: Metrics, runs: Runs) -> list[Table]:
    """Every table of this module."""
    return [
        _measures(values, runs),
        _contexts(values, runs),
        _hash_rounds(values, runs),
    ]


def _measures(values: Metrics, runs: Runs) -> Table:
    """A row for each point and n-gram; columns of which nothing is known are left out."""
    rows = [_of_point(values, point) for point in points(runs, scored(values, runs))]
    rows += [_of_count(values, name) for name in values["details"]["counts"]]
    headers = ["run", "bits per byte", *MEASURES]
    known = [i for i in range(len(headers)) if i < 2 or any(row[i] for row in rows)]
    shown = [[row[i] for i in known] for row in rows] if len(known) > 2 else []
    headers = [headers[i] for i in known]
    intro = " ".join(["Validation / test.", *(MEASURES[name] for name in headers[2:])])
    return Table("measures", "Other measures", headers, shown, bound_note(shown), intro=intro)


def _of_point(values: Metrics, point: Point) -> list[str]:
    of_splits = [[values["details"]["scores"][n][split] for n in point.names] for split in SPLITS]
    accuracies = [_all_of(scores, "accuracy") for scores in of_splits]
    words = [_all_of(scores, "word_perplexity") for scores in of_splits]
    flat = [score_of(values, point.names, split) for split in SPLITS]
    test = flat[-1]
    spread = [test[end] for end in ("lowest", "highest") if end in test]
    return [
        point.name,
        " / ".join(map(shown_score, flat)),
        " / ".join(f"{100 * fmean(each):.1f} %" for each in accuracies) if all(accuracies) else "",
        " / ".join(
            bounded(score, number(geometric_mean(each)))
            for score, each in zip(flat, words, strict=True)
        ) if all(words) else "",
        f"{len(point.names)}: {bounded(test, span(spread, 3))}" if spread else NOTHING,
    ]  # fmt: skip


def _all_of(scores: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """A measure of each seed; nothing where one lacks it."""
    found = [score.get(key) for score in scores]
    return [each for each in found if each is not None] if None not in found else []


def _of_count(values: Metrics, name: str) -> list[str]:
    words = values["details"]["counts"][name].get("word_perplexity", {})
    of_splits = [score_of(values, [name], split) for split in SPLITS]
    bits = " / ".join(map(shown_score, of_splits))
    shown = [
        bounded(score, number(words[split]))
        for score, split in zip(of_splits, SPLITS, strict=True)
        if split in words
    ]
    return [name, bits, NOTHING, " / ".join(shown), NOTHING]


def _scores(values: Metrics, runs: Runs, key: str) -> dict[str, Any]:
    """What the scores of each run on the test text hold under a key, where they hold anything."""
    scores = values["details"]["scores"]
    found = {name: scores[name][SPLIT].get(key) for name in runs if name in scores}
    return {name: item for name, item in found.items() if item}


def _contexts(values: Metrics, runs: Runs) -> Table:
    found = _scores(values, runs, "contexts")
    lengths = sorted({int(length) for item in found.values() for length in item})
    rows = [
        [
            name,
            *(_in_another_way(values, name, item.get(str(n))) for n in lengths),
            f"{_own(values, name)} ({number(runs[name].sequence_length, 0)})",
        ]
        for name, item in found.items()
    ]
    intro = (
        "Bits per byte of the test text by the same model in shorter windows. Where a longer "
        "window scores no better, the model does not use what it is given. "
        f"{IN_BRACKETS}"
    )
    title = "Does a model use the context that it is given?"
    headers = ["run", *(f"{length}" for length in lengths), "its own length"]
    return Table("contexts", title, headers, rows, _notes(rows), intro=intro)


def _hash_rounds(values: Metrics, runs: Runs) -> Table:
    found = _scores(values, runs, "hash_rounds")
    numbers = sorted({int(rounds) for item in found.values() for rounds in item})
    rows = [
        [
            name,
            _own(values, name),
            *(_in_another_way(values, name, item.get(str(n))) for n in numbers),
        ]
        for name, item in found.items()
    ]
    intro = (
        "Bits per byte of the test text by the same model with other numbers of hash rounds than "
        "it was trained with. More rounds find more of the past that is alike, and take longer. "
        f"{IN_BRACKETS}"
    )
    title = "What are more hash rounds worth?"
    headers = ["run", OWN, *map(str, numbers)]
    return Table("hash-rounds", title, headers, rows, _notes(rows), intro=intro)


def _own(values: Metrics, name: str) -> str:
    return shown_score(score_of(values, [name], SPLIT))


def _in_another_way(values: Metrics, name: str, score: Mapping[str, Any] | None) -> str:
    """A score of a run, which is a lower bound where the run's own is, and how far above that.

    Nothing for none.
    """
    if score is None:
        return NOTHING
    shown = shown_score({"bound": score_of(values, [name], SPLIT).get("bound"), **score})
    difference = score.get("difference")  # a kept study may be older
    if difference is None:
        return shown
    return f"{shown} ({signed(difference)}{NOTHING if is_sure(difference) else ALIKE})"


def _notes(rows: Sequence[Sequence[str]]) -> list[str]:
    alike = any(ALIKE in cell for row in rows for cell in row)
    return [*([ALIKE_NOTE] if alike else []), *bound_note(rows)]
